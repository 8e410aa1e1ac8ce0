//! Grace periods without the wait.
//!
//! To put a program on a TCX hook takes the kernel a grace period of RCU, under the lock of all interfaces
//! (`tcx_link_prog_attach`, Linux 6.18): 8 to 16 ms on a quiet machine, 50 ms where a hundred pods start at once, and each
//! veth waits for those before it, unprotected. The kernel expedites such periods where it changes interfaces itself
//! (`synchronize_net`), for an interrupt on each busy CPU. This asks it for the same.
//!
//! The switch is one for the whole machine and does not say who switched it on. So a file says first that it is this
//! program: one that is killed leaves the file, and the next start switches off what is still on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tracing::warn;

use crate::files::{RUN, remove, replace};

/// Of the whole machine (`kernel/ksysfs.c`): 0 or 1.
const SWITCH: &str = "/sys/kernel/rcu_expedited";
/// Below [`RUN`]: there while the switch is on by this program.
const MARK: &str = "expedited";

/// The switch, and the file that says who switched it on.
#[derive(Debug)]
struct Switch {
    switch: PathBuf,
    mark: PathBuf,
}

/// Grace periods are expedited as long as this lives. Where the switch cannot be written they take their time.
#[derive(Debug)]
pub(super) struct Expedited {
    /// `None`: what somebody else has switched on stays on.
    ours: Option<Switch>,
}

/// Switches off what a program that was killed has left on. Where that fails the next start tries again.
pub(super) fn recover() {
    if let Err(error) = Switch::of_machine().recover() {
        warn!("an agent that was killed left grace periods expedited: {error:#}");
    }
}

impl Expedited {
    pub(super) fn begin() -> Self {
        Switch::of_machine().begin()
    }
}

impl Switch {
    fn of_machine() -> Self {
        Self { switch: SWITCH.into(), mark: Path::new(RUN).join(MARK) }
    }

    fn is(&self, state: &str) -> bool {
        fs::read_to_string(&self.switch).is_ok_and(|switch| switch.trim() == state)
    }

    fn begin(self) -> Expedited {
        if !self.is("0") || replace(&self.mark, b"").is_err() {
            return Expedited { ours: None };
        }
        if fs::write(&self.switch, "1").is_err() {
            // A mark that stays is that of a switch which is off: the next start removes it.
            let _removed = remove(&self.mark);
            return Expedited { ours: None };
        }
        Expedited { ours: Some(self) }
    }

    fn end(&self) -> Result<()> {
        fs::write(&self.switch, "0").with_context(|| format!("cannot write {}", self.switch.display()))?;
        remove(&self.mark)
    }

    fn recover(&self) -> Result<()> {
        if !self.mark.exists() {
            return Ok(());
        }
        if self.is("1") { self.end() } else { remove(&self.mark) }
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        if let Some(switch) = &self.ours {
            // Left on it costs interrupts, and no packet's verdict; the mark stays, and the next start tries again.
            let _written = switch.end();
        }
    }
}

/// A file stands for the kernel's switch: that the kernel expedites, and that a write to it may fail half way, is not shown.
#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    const FOLDER: &str = "BULKHEAD_TEST_EXPEDITED";

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(state: &str) -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            fs::write(machine.switch().switch, state).unwrap();
            machine
        }

        fn switch(&self) -> Switch {
            switch_in(self.0.path())
        }

        /// The switch, and whether the mark is there.
        fn state(&self) -> (String, bool) {
            let Switch { switch, mark } = self.switch();
            (fs::read_to_string(switch).unwrap(), mark.exists())
        }
    }

    fn switch_in(folder: &Path) -> Switch {
        Switch { switch: folder.join("rcu_expedited"), mark: folder.join("run/expedited") }
    }

    #[test]
    fn what_is_off_is_on_for_as_long_as_it_is_held() {
        let machine = Machine::new("0\n");
        let held = machine.switch().begin();
        assert_eq!(machine.state(), ("1".to_owned(), true));
        drop(held);
        assert_eq!(machine.state(), ("0".to_owned(), false));
    }

    #[test]
    fn what_another_switched_on_stays_on() {
        let machine = Machine::new("1\n");
        drop(machine.switch().begin());
        assert_eq!(machine.state(), ("1\n".to_owned(), false));
        machine.switch().recover().unwrap();
        assert_eq!(machine.state(), ("1\n".to_owned(), false), "no mark says that it is ours");
    }

    /// The process that is killed.
    #[test]
    fn killed_while_it_holds() {
        if let Some(folder) = std::env::var_os(FOLDER) {
            let _held = switch_in(Path::new(&folder)).begin();
            loop {
                std::thread::park();
            }
        }
    }

    #[test]
    fn the_next_start_undoes_what_a_killed_one_left() {
        let machine = Machine::new("0\n");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kernel::expedited::tests::killed_while_it_holds", "--exact"])
            .env(FOLDER, machine.0.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while machine.state() != ("1".to_owned(), true) {
            assert!(Instant::now() < deadline, "the child switches nothing on");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert_eq!(machine.state(), ("1".to_owned(), true), "left on");
        machine.switch().recover().unwrap();
        assert_eq!(machine.state(), ("0".to_owned(), false));
        machine.switch().recover().expect("twice");
    }

    #[test]
    fn killed_before_the_switch_it_leaves_a_mark_that_switches_nothing() {
        let machine = Machine::new("0\n");
        replace(&machine.switch().mark, b"").unwrap();
        machine.switch().recover().unwrap();
        assert_eq!(machine.state(), ("0\n".to_owned(), false));
    }

    #[test]
    fn without_a_place_for_the_mark_nothing_is_switched_on() {
        let machine = Machine::new("0\n");
        fs::write(machine.0.path().join("run"), "no folder").unwrap();
        let held = machine.switch().begin();
        assert!(held.ours.is_none());
        assert_eq!(fs::read_to_string(machine.switch().switch).unwrap(), "0\n");
    }
}
