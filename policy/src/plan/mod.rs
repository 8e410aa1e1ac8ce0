//! From what the kernel holds to what it should hold: plain-data operations whose order alone makes each
//! update safe.
