"""The command line: parse, call the verb of the same name, report, exit code. Only this room prints.

``main``      the group, and the one place where errors become text and exit codes
``operands``  what SOURCE and TARGET may be
``screen``    what goes to stdout, and whether it may have colour
``exits``     the exit codes by name

One module a command, named like it, with a click command named ``command``; ``main.COMMANDS`` lists them.
"""
