"""Bottlerocket's launch settings: judged, merged and placed, without a cluster. Used by cli/launch.

One unknown key in user data makes Bottlerocket refuse all of it, and the node never joins.
"""
