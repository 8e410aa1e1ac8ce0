//! What the programs tell about packets that they dropped: read from the ring, and said in names.

mod directory;
mod reader;
mod record;

pub use directory::Directory;
pub use reader::EventReader;
pub use record::{DropRecord, End};
