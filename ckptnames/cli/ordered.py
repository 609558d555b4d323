"""A command that remembers the order in which its options stood."""

from __future__ import annotations

import click

_ORDER = "ckptnames.order"


class OrderedCommand(click.Command):
    """Keeps, for options that may be given several times, the order among different ones: click forgets it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse twice: click's parser tells the order of the options, and forgets it afterwards."""
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        left = {name: iter(given) for name, given in values.items() if isinstance(given, list)}
        ctx.meta[_ORDER] = [(p.name, next(left[p.name])) for p in order if p.name is not None and p.name in left]
        return super().parse_args(ctx, args)


def in_order(ctx: click.Context, *names: str) -> list[tuple[str, str]]:
    """Give the values of these options as they stood on the command line, each with its option's name."""
    return [(name, value) for name, value in ctx.meta[_ORDER] if name in names]
