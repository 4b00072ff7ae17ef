# One image holds one service:  docker build --build-arg SERVICE=auth .   (auth, otp or notify; BuildKit)
#
# PYTHON_IMAGE may name a mirror's copy or a local image. pip reads the build secret `pip_config` where one is given, so
# an index of yours, with its password, stands in no layer.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG SERVICE

FROM ${PYTHON_IMAGE} AS builder
ARG SERVICE
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY requirements/image.txt requirements/${SERVICE}.txt requirements/
RUN --mount=type=secret,id=pip_config \
    PIP_CONFIG_FILE=/run/secrets/pip_config python -m pip --python /opt/venv/bin/python install \
        --no-cache-dir --disable-pip-version-check --no-input --require-hashes \
        -r requirements/image.txt -r "requirements/${SERVICE}.txt"
COPY services/__init__.py /app/services/
COPY services/${SERVICE} /app/services/${SERVICE}
COPY shared /app/shared
# Compiled here, because nothing can be written where it runs. Unchecked: the sources change with the image only.
RUN python -m compileall -q --invalidation-mode unchecked-hash /app

# Nothing is installed where it runs, so what could install something goes. A volume on /journal takes its owner from here.
FROM ${PYTHON_IMAGE} AS runtime
RUN python -m pip uninstall --yes --no-input --root-user-action ignore pip setuptools wheel \
    && groupadd --system --gid 10001 latchkey \
    && useradd --system --uid 10001 --gid latchkey --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin latchkey \
    && install -d -o latchkey -g latchkey -m 0700 /journal
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
USER 10001:10001
# Signals go to the server alone, which ends its own children in order.
ENTRYPOINT ["dumb-init", "--single-child", "--"]

# shared/serving.py says how it serves.
FROM runtime AS web
ENV WEB_PORT=8080 \
    METRICS_HOST=0.0.0.0 \
    METRICS_PORT=9464
EXPOSE 8080 9464
HEALTHCHECK --interval=10s --timeout=20s --start-period=30s CMD ["python", "-m", "shared.health", "web"]

FROM web AS auth
CMD ["python", "-m", "shared.serving", "services.auth.wsgi:app", "--host", "0.0.0.0", "--threads", "4"]

# MALLOC_MMAP_THRESHOLD_: otp hashes seldom; without it glibc keeps argon2's 19 MiB of each thread for good.
FROM web AS otp
ENV MALLOC_MMAP_THRESHOLD_=1048576
CMD ["python", "-m", "shared.serving", "services.otp.wsgi:app", "--host", "0.0.0.0", "--threads", "4"]

FROM runtime AS notify
HEALTHCHECK --interval=15s --timeout=30s --start-period=30s CMD ["python", "-m", "shared.health", "worker"]
CMD ["celery", "-q", "-A", "services.notify.worker:celery", "worker", "-Q", "sms.codes,sms.receipts", "-P", "threads", "-c", "8", \
     "--without-gossip", "--without-mingle", "--without-heartbeat"]

FROM ${SERVICE}
