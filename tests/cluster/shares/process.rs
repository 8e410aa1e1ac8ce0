//! The process that sees the objects and is measured.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tests::api_server::ApiServer;
use tests::measured::processor_time;

/// Where it finds its kubeconfig.
pub const KUBECONFIG: &str = "BULKHEAD_TEST_KUBECONFIG";

/// What that process prints after each world and each second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub pods: usize,
    pub policies: usize,
    pub invalid: usize,
    /// Of namespaces but `ns-0`.
    pub invalid_of_others: usize,
    pub rejected: usize,
    pub services: usize,
    /// Memory that is its own, now and at most so far.
    pub own_mib: u64,
    pub peak_mib: u64,
    pub compile_ms: f64,
    pub worlds: usize,
    /// When each was first enforced, in milliseconds since 1970.
    pub marks: BTreeMap<String, u64>,
}

/// The process, and its newest report.
pub struct Measured {
    process: Child,
    report: Arc<Mutex<Report>>,
}

impl Measured {
    pub fn start(server: &ApiServer) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--ignored", "--exact", "a_process_that_is_measured", "--nocapture"]);
        command.env(KUBECONFIG, server.agent_config()).stdout(Stdio::piped());
        let mut process = server.run(|| command.spawn().expect("a second process"));
        let (report, output) = (Arc::<Mutex<Report>>::default(), process.stdout.take().expect("a pipe"));
        let newest = Arc::clone(&report);
        spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(report) = serde_json::from_str(&line) {
                    *newest.lock().unwrap_or_else(PoisonError::into_inner) = report;
                }
            }
        });
        Self { process, report }
    }

    pub fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn until(&self, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        let deadline = Instant::now() + Duration::from_secs(180);
        loop {
            let report = self.report();
            if is(&report) {
                return report;
            }
            assert!(Instant::now() < deadline, "{what}: {report:?}");
            sleep(Duration::from_millis(50));
        }
    }

    pub fn processor_time(&self) -> Duration {
        processor_time(&self.process.id().to_string()).expect("it runs")
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
