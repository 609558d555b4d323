"""Two manifests -> the rules that lead from one to the other, and what stays undecided."""
