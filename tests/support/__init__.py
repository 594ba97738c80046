"""What tests share: leak detection, running as an unprivileged user, running in a forked child."""
