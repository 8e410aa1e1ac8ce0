//! Questions about a compiled world: `matrix`, `explain`.
