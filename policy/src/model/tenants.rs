//! Which tenant a pod belongs to, and how that tenant is held apart (DESIGN.md §5, CONTRACT.md §2 and §3).
