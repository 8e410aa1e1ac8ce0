use core::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::abi::Address;

const ENDPOINTS: u32 = 4;
const FLOWS: u32 = 256;

/// A table with its ring, in ordinary memory.
struct Table {
    limits: FlowLimits,
    ring: Vec<Cell<FlowPlace>>,
    taken: Cell<usize>,
    /// Flows, and whether they are counted as established.
    flows: RefCell<BTreeMap<u32, bool>>,
    places: RefCell<BTreeMap<u32, i64>>,
    established: RefCell<BTreeMap<u32, i64>>,
    pooled: Cell<i64>,
}

impl Table {
    fn new() -> Self {
        let limits = FlowLimits::new(FLOWS, ENDPOINTS);
        let empty = FlowPlace { key: FlowKey::EMPTY, slot: 0 };
        Self {
            limits,
            ring: (0..=limits.last_place).map(|_| Cell::new(empty)).collect(),
            taken: Cell::new(0),
            flows: RefCell::default(),
            places: RefCell::default(),
            established: RefCell::default(),
            pooled: Cell::new(0),
        }
    }

    /// A flow that opens. True where it is tracked.
    fn open(&self, slot: u32, number: u16) -> bool {
        let key = key(slot, number);
        let is_known = self.flows.borrow_mut().insert(id(&key), false).is_some();
        is_known || enter_ring(self, slot, &key)
    }

    /// Its answer. True where it counts as established.
    fn answer(&self, slot: u32, number: u16) -> bool {
        let key = key(slot, number);
        let state = count(self, slot, &key, FlowState::new(9, FlowState::ANSWERED));
        let counted = state.is(FlowState::COUNTED);
        self.flows.borrow_mut().insert(id(&key), counted);
        counted
    }

    fn close(&self, slot: u32, number: u16) {
        let key = key(slot, number);
        let state = count(self, slot, &key, FlowState::new(9, FlowState::ANSWERED | FlowState::COUNTED));
        assert!(!state.is(FlowState::COUNTED));
        self.flows.borrow_mut().insert(id(&key), false);
    }

    fn has(&self, slot: u32, number: u16) -> bool {
        self.flows.borrow().contains_key(&id(&key(slot, number)))
    }

    fn of(&self, slot: u32) -> usize {
        self.flows.borrow().keys().filter(|id| **id >> 16 == slot).count()
    }
}

fn key(slot: u32, number: u16) -> FlowKey {
    FlowKey::new(slot + 1, 6, (0, number), (Address::v4([192, 0, 2, 1]), 80))
}

fn id(key: &FlowKey) -> u32 {
    (key.endpoint - 1) << 16 | u32::from(key.local_port())
}

impl FlowShares for Table {
    fn limits(&self) -> FlowLimits {
        self.limits
    }

    fn next_place(&self, limits: &FlowLimits) -> Option<&Cell<FlowPlace>> {
        self.taken.set(self.taken.get() + 1);
        self.ring.get(self.taken.get() & limits.last_place as usize)
    }

    fn passing(&self, key: &FlowKey) -> Option<FlowState> {
        let is_passing = self.flows.borrow().get(&id(key)) == Some(&false);
        is_passing.then_some(FlowState::new(9, FlowState::BY_POD))
    }

    fn evict(&self, key: &FlowKey, _is_lost: bool) {
        self.flows.borrow_mut().remove(&id(key));
    }

    fn places(&self, slot: u32) -> i64 {
        self.places.borrow().get(&slot).copied().unwrap_or_default()
    }

    fn add_places(&self, slot: u32, count: i64) -> i64 {
        *self.places.borrow_mut().entry(slot).and_modify(|places| *places += count).or_insert(count)
    }

    fn add_established(&self, slot: u32, count: i64) -> i64 {
        *self.established.borrow_mut().entry(slot).and_modify(|own| *own += count).or_insert(count)
    }

    fn add_pooled(&self, count: i64) -> i64 {
        self.pooled.set(self.pooled.get() + count);
        self.pooled.get()
    }
}

#[test]
fn a_flood_of_openings_takes_its_own_and_leaves_the_few_of_others() {
    let table = Table::new();
    let few = u16::try_from(table.limits.kept).expect("few");
    assert!((0..few).all(|number| table.open(1, number)));
    assert!(table.open(2, 0) && table.answer(2, 0));
    for number in 0..50_000 {
        table.open(0, number);
        // Somebody else opens one now and then, and it is tracked.
        assert!(number % 100 != 0 || table.open(3, number / 100 % 8), "{number}");
    }
    assert!((0..few).all(|number| table.has(1, number)), "{} of {few}", table.of(1));
    assert!(table.has(2, 0));
    assert!(table.flows.borrow().len() <= FLOWS as usize);
    let places: i64 = table.places.borrow().values().sum();
    assert!(places <= i64::from(table.limits.last_place) + 1, "{places}");
}

#[test]
fn each_endpoint_establishes_what_it_is_guaranteed_whatever_the_others_have() {
    let table = Table::new();
    let mut established = BTreeMap::new();
    for slot in 0..ENDPOINTS {
        let counted = (0..1000).filter(|&number| table.open(slot, number) && table.answer(slot, number)).count();
        established.insert(slot, counted);
    }
    let FlowLimits { guaranteed, most, pool, .. } = table.limits;
    assert!(established.values().all(|&flows| flows >= guaranteed as usize && flows <= most.max(guaranteed) as usize));
    let all: usize = established.values().sum();
    assert!(all <= (guaranteed * ENDPOINTS + pool) as usize, "{established:?}");
    assert!(table.flows.borrow().len() <= FLOWS as usize);
}

#[test]
fn what_closes_makes_room_for_as_many() {
    let table = Table::new();
    let counted = |range: core::ops::Range<u16>| -> BTreeSet<u16> {
        range.filter(|&number| table.open(0, number) && table.answer(0, number)).collect()
    };
    let first = counted(0..1000);
    first.iter().for_each(|&number| table.close(0, number));
    assert_eq!(table.established.borrow()[&0], 0);
    assert_eq!(table.pooled.get(), 0);
    assert_eq!(counted(1000..2000).len(), first.len());
}

#[test]
fn a_flow_that_opens_again_keeps_its_place_or_takes_another() {
    let table = Table::new();
    for _ in 0..10_000 {
        assert!(table.open(0, 7));
    }
    assert!(table.has(0, 7));
}
