"""How results look: tables in a terminal, HTML in a notebook, JSON for programs, Perfetto traces.

A result is a dict of one of the shapes in ``emu.report.schema``. ``pages`` turns it into titles, pairs and tables of finished strings once;
``text`` and ``html`` only draw those, so that the two can never disagree.
"""
