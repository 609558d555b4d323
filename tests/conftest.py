"""What every test runs under."""

from hypothesis import settings

# No deadline: a busy machine is no finding. `quick` and `full` draw the same examples every time, so that a red run is
# the change's doing; `pytest -m hypothesis --hypothesis-profile=full` is what CI adds, and `deep` looks for news.
settings.register_profile("quick", max_examples=20, deadline=None, derandomize=True)
settings.register_profile("full", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("deep", max_examples=1000, deadline=None)
settings.load_profile("quick")
