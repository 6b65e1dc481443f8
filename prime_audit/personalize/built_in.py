"""Imports every built-in method, which registers it; the table in full."""

import prime_audit.personalize.adapt_merged
import prime_audit.personalize.averaging
import prime_audit.personalize.controls
import prime_audit.personalize.dense_merges
import prime_audit.personalize.fixed
import prime_audit.personalize.lorahub
import prime_audit.personalize.own
import prime_audit.personalize.per_pcs
import prime_audit.personalize.pooled
import prime_audit.personalize.prime
import prime_audit.personalize.prompting  # noqa: F401
from prime_audit.personalize.registry import METHODS

__all__ = ["METHODS"]
