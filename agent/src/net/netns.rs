//! Network namespaces by name, and running code inside one. The only place in the agent that calls `setns`.

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::files;

/// Where `ip netns` keeps names, too.
const FOLDER: &str = "/run/netns";

/// A handle on a network namespace. Dropping it closes the handle; [`NetNs::delete`] removes the name.
#[derive(Debug)]
pub struct NetNs {
    path: PathBuf,
    file: File,
}

impl NetNs {
    /// Creates a namespace and names it `/run/netns/NAME`, as `ip netns add NAME` does.
    ///
    /// # Errors
    /// The name is taken or not a file name, or the caller is not root.
    pub fn create(name: &str) -> Result<Self> {
        let path = Self::path_of(name)?;
        prepare_folder().with_context(|| format!("cannot prepare {FOLDER}"))?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .with_context(|| format!("cannot create the network namespace {}", path.display()))?;
        let made = on_fresh_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            // Not /proc/self: that is the process's first thread, which is still where it was.
            mount(Some("/proc/thread-self/ns/net"), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        });
        if let Err(error) = made {
            // The mount point is an empty file without a mount: of no use, and it would block the next attempt.
            let _ = fs::remove_file(&path);
            return Err(error).with_context(|| format!("cannot create the network namespace {}", path.display()));
        }
        Self::open(&path)
    }

    /// Opens a namespace by any path: `/run/netns/NAME`, `/proc/PID/ns/net`, `/proc/thread-self/ns/net`.
    ///
    /// # Errors
    /// The path cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file =
            File::open(&path).with_context(|| format!("cannot open the network namespace {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// Opens `/run/netns/NAME`.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn named(name: &str) -> Result<Self> {
        Self::open(Self::path_of(name)?)
    }

    /// The path that it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` inside the namespace, on a thread of its own that ends with it: no other thread is ever moved,
    /// and nothing has to be put back. Processes that `work` starts are inside, too. A panic is passed on.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        on_fresh_thread(|| {
            #[allow(clippy::disallowed_methods, reason = "this is the module that may")]
            setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            Ok::<T, nix::Error>(work())
        })
        .with_context(|| format!("cannot enter the network namespace {}", self.path.display()))
    }

    /// Removes the name of this namespace; it goes away with its last process and socket.
    ///
    /// # Errors
    /// As [`NetNs::delete_named`].
    pub fn delete(self) -> Result<()> {
        let Self { path, file } = self;
        drop(file);
        remove(&path)
    }

    /// Removes the name `/run/netns/NAME`, also where only half of it is there. Nothing there is no error.
    ///
    /// # Errors
    /// The name cannot be removed.
    pub fn delete_named(name: &str) -> Result<()> {
        remove(&Self::path_of(name)?)
    }

    fn path_of(name: &str) -> Result<PathBuf> {
        let plain = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
        anyhow::ensure!(plain, "{name:?} cannot name a network namespace: use letters, digits and dashes");
        Ok(Path::new(FOLDER).join(name))
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Makes the folder a mount of its own, as the first `ip netns add` does (iproute2, `netns_add`). One that came later would
/// cover the names that are there already: nobody could remove them any more.
fn prepare_folder() -> Result<()> {
    fs::create_dir_all(FOLDER)?;
    let folder = File::open(FOLDER)?;
    // iproute2 takes the same lock: two mounts would lie on each other.
    folder.lock()?;
    let share = || mount(None::<&str>, FOLDER, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>);
    match share() {
        // It is not a mount yet.
        Err(nix::Error::EINVAL) => {
            mount(Some(FOLDER), FOLDER, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
            share()?;
        }
        shared => shared?,
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // EINVAL: a file that nothing is mounted on.
        Ok(()) | Err(nix::Error::ENOENT | nix::Error::EINVAL) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot unmount {}", path.display())),
    }
    files::remove(path)
}

/// A thread's namespaces end with the thread.
fn on_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
