"""Tests of the target conntrack."""
