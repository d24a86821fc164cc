"""The name by which some models import the classes of the interface."""

from triton_python_backend_utils import *  # noqa: F403
