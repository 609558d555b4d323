"""Results as text and JSON: pure functions of the data, one module for each command beside the pieces they share.

``text``  sizes, columns and colours
``ls``    what is in a checkpoint
"""
