"""Turns a personalisation's evidence and a design into metrics and findings."""

from prime_audit.audit.audit import AuditTables, Subjects, audit
from prime_audit.audit.panel import Panel, Scored

__all__ = ["AuditTables", "Panel", "Scored", "Subjects", "audit"]
