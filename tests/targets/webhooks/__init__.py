"""Tests of target webhooks."""
