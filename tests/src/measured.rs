//! Figures that tests print.

use std::fs;
use std::time::Duration;

/// A part of the durations is at most this long, in milliseconds: 0.5 is the median, 1 the longest.
///
/// # Panics
/// Where there are none.
#[must_use]
pub fn quantile(durations: &[Duration], part: f64) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort();
    sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3
}

/// How long a process has been on a processor so far; `None` where it has ended.
#[must_use]
pub fn processor_time(process: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name, which may have spaces (proc_pid_stat(5)); times are in hundredths of a second.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis(10 * (user + system)))
}

/// A field of `/proc/PROCESS/status` that is a size, as in `VmHWM`, in MiB; `None` where the process has ended.
#[must_use]
pub fn memory(process: &str, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}
