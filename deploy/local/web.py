"""`python -m deploy.local.web APP --host H --port P --threads T`: the server of the images, in less memory."""

from deploy.local.lean import load
from shared import serving

if __name__ == "__main__":
    serving.main(load)
