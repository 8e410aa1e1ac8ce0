//! The newest drops, for those who ask later: each pair's newest alone, and a share of the lines for each endpoint, so
//! that a flood never takes the place of the one drop that somebody looks for.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::events::DropRecord;

/// Lines of an endpoint…
const OWN: usize = 64;
/// …and of all.
const ALL: usize = 4096;

/// What makes two drops one line: the ends by their addresses, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pair {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    mac: Option<String>,
    reason: &'static str,
    direction: &'static str,
    verdict: &'static str,
}

impl Pair {
    fn of(record: &DropRecord) -> Self {
        let DropRecord { source, destination, reason, direction, verdict, .. } = record;
        Self { source: source.ip, destination: destination.ip, mac: source.mac.clone(), reason, direction, verdict }
    }
}

/// The lines of one endpoint, by when they came.
#[derive(Debug, Default)]
struct Lines {
    records: BTreeMap<u64, Arc<DropRecord>>,
    places: HashMap<Pair, u64>,
}

impl Lines {
    fn put(&mut self, time: u64, record: Arc<DropRecord>) {
        if let Some(before) = self.places.insert(Pair::of(&record), time) {
            self.records.remove(&before);
        }
        self.records.insert(time, record);
        if self.records.len() > OWN {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, record)) = self.records.pop_first() {
            self.places.remove(&Pair::of(&record));
        }
    }
}

/// The newest drops of all endpoints.
#[derive(Debug, Default)]
pub(super) struct Recent {
    by_endpoint: HashMap<u32, Lines>,
    /// How many drops there were.
    time: u64,
    lines: usize,
}

impl Recent {
    /// Adds a drop at an endpoint.
    pub fn add(&mut self, endpoint: u32, record: Arc<DropRecord>) {
        self.time += 1;
        let lines = self.by_endpoint.entry(endpoint).or_default();
        self.lines -= lines.records.len();
        lines.put(self.time, record);
        self.lines += lines.records.len();
        if self.lines > ALL {
            self.shrink();
        }
    }

    /// Takes a line from the endpoint that has most.
    fn shrink(&mut self) {
        let most = self.by_endpoint.iter().max_by_key(|(endpoint, lines)| (lines.records.len(), **endpoint));
        let Some(endpoint) = most.map(|(endpoint, _)| *endpoint) else { return };
        if let Some(lines) = self.by_endpoint.get_mut(&endpoint) {
            lines.drop_oldest();
            self.lines -= 1;
            if lines.records.is_empty() {
                self.by_endpoint.remove(&endpoint);
            }
        }
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Arc<DropRecord>> {
        let mut all: Vec<_> = self.by_endpoint.values().flat_map(|lines| &lines.records).collect();
        all.sort_unstable_by_key(|(time, _)| **time);
        all.into_iter().map(|(_, record)| Arc::clone(record)).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::events::End;

    fn drop(source: [u8; 4], port: u16, reason: &'static str) -> Arc<DropRecord> {
        let end = |ip: [u8; 4], port| End { ip: Some(ip.into()), port: Some(port), ..End::default() };
        Arc::new(DropRecord {
            time: Timestamp::UNIX_EPOCH,
            verdict: "drop",
            direction: "ingress",
            reason,
            source: end(source, 12345),
            destination: end([10, 244, 0, 9], port),
            protocol: "TCP".to_owned(),
            rules: Vec::new(),
            audited: None,
        })
    }

    fn reasons(recent: &Recent, of: &str) -> usize {
        recent.all().iter().filter(|record| record.reason == of).count()
    }

    #[test]
    fn a_flood_of_one_pair_is_one_line_the_newest() {
        let mut recent = Recent::default();
        recent.add(1, drop([10, 0, 0, 1], 80, "default_deny"));
        for port in 0..5000 {
            recent.add(1, drop([10, 0, 0, 2], port, "default_deny"));
        }
        let ports: Vec<_> = recent.all().iter().map(|record| record.destination.port.unwrap()).collect();
        assert_eq!(ports, [80, 4999]);
        recent.add(1, drop([10, 0, 0, 2], 1, "tenant_isolation"));
        recent.add(1, drop([10, 0, 0, 1], 81, "default_deny"));
        assert_eq!(recent.all().len(), 3, "another reason is another line");
        assert_eq!(recent.all().last().unwrap().destination.port, Some(81));
    }

    #[test]
    fn floods_of_many_pairs_and_endpoints_leave_the_only_line_of_another() {
        let mut recent = Recent::default();
        recent.add(7, drop([10, 0, 0, 1], 80, "cluster_policy"));
        for number in 0..20_000_u16 {
            let [high, low] = number.to_be_bytes();
            recent.add(100 + u32::from(number % 200), drop([172, 16, high, low], 80, "default_deny"));
        }
        assert_eq!(reasons(&recent, "cluster_policy"), 1);
        assert_eq!(recent.all().len(), ALL);
        for number in 0..200_u8 {
            recent.add(8, drop([172, 17, 0, number], 80, "spoofed_source"));
        }
        assert!(reasons(&recent, "spoofed_source") >= ALL / 202, "it has its share");
        assert!(recent.by_endpoint.values().all(|lines| lines.records.len() == lines.places.len()));
    }
}
