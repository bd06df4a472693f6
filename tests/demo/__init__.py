"""`make demo` (python -m tests.demo): the incidents, broken, named, repaired and given back, on a real control plane.

Everything that it shows it also checks, and it ends with an error where something did not happen.
"""
