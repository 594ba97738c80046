"""The control socket: the Varlink interface `org.sydd`, and a server that bad clients cannot hold up."""
