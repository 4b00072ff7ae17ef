"""How auth's and otp's workers act on the events of their queue. notify has no SQL, and so no part in this."""

from collections.abc import Callable

from celery import Celery, Task
from celery.exceptions import Reject
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.acting import act_or_keep
from shared.dead_letters import DeadLetters
from shared.messages import QUEUES, batch_of
from shared.queueing import RETRY_SECONDS
from shared.signed_messages import NotDueYet

# A store that does not answer: its event is delivered again, for as long as it takes.
STORE_ERRORS = (RedisError, DBAPIError, PoolTimeoutError)
COMES_AGAIN = (*STORE_ERRORS, NotDueYet)
# While the broker is away too, publishing the retry is tried for a while: Celery drops a task whose retry it cannot
# publish.
PUBLISH_RETRY = {"max_retries": 10, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 1.0}


def consume_events(celery: Celery, queue: str, letters: DeadLetters, handle: Callable[[object], None]) -> None:
    """Have ``handle`` act on each message of an event queue.

    One that meets a store error, or is early by a moment, comes again, with its batch.

    Not shared: a task belongs to this app and the deps behind ``handle``, not to every app of the process.
    """

    @celery.task(  # type: ignore[untyped-decorator]
        name=QUEUES[queue],
        bind=True,
        shared=False,
        acks_late=True,
        ignore_result=True,
        max_retries=None,
    )
    def handle_event(task: Task, document: object) -> None:
        try:
            for one in batch_of(document):
                act_or_keep(letters, queue, task, one, handle, COMES_AGAIN)
        except COMES_AGAIN as error:
            try:
                task.retry(exc=error, countdown=RETRY_SECONDS, queue=queue, retry=True, retry_policy=PUBLISH_RETRY)
            except Reject as reject:
                # Celery's own drops the message when the broker does not take the retry; ours leaves it there.
                raise Reject(reject.reason, requeue=True) from None
