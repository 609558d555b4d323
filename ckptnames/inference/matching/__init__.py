"""Two trees of modules laid over each other: which tensor of the source fills which key of the target."""
