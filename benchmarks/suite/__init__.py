"""The suite that ``asv`` runs; ``benchmarks/README.md`` says how."""
