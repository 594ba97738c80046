"""From a policy to a plan: the filter, the Landlock rules and what is left for the supervisor."""
