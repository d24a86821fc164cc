"""The process in which Goodput runs models of the Python backend.

Models see it as ``triton_python_backend_utils``; the server starts it as ``python -m goodput_worker``.
"""
