"""The flag that writes down what the commands print now."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the commands of fixtures/golden print now, to be read before it is committed",
    )
