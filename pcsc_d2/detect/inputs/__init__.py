"""What the command line names -> videos, each with the folder that its results go to."""

from pcsc_d2.detect.inputs.finding import find_tasks
from pcsc_d2.detect.inputs.tasks import Task

__all__ = ["Task", "find_tasks"]
