"""What goes over the control socket: values and errors, shared by the server and the client."""

INTERFACE = "org.sydd"
"""The name of the interface."""
