//! A full compile of the cluster of the budget (DESIGN.md §10): at most 20 ms.
#![allow(clippy::expect_used, reason = "a benchmark that cannot compile its world has nothing to measure")]

mod world;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use policy::compile::{Ids, Input, compile, compile_within};
use policy::model::Config;
use policy::plan::{Capacities, Observed, diff};

const ROOM: Capacities = Capacities {
    peers: 1 << 20,
    ranges: 1 << 20,
    services: 1 << 20,
    rules: 1 << 22,
    ports: 1 << 20,
    profiles: 1 << 20,
    endpoints: 1 << 10,
    interfaces: 1 << 10,
    ids: 1 << 22,
};

/// The maps as the programs have them.
const DEFAULT: Capacities = Capacities { ranges: 131_072, rules: 1_048_576, ports: 262_144, ids: 1_048_576, ..ROOM };

fn compile_and_diff(criterion: &mut Criterion) {
    let (cluster, node) = world::cluster(world::BUDGET);
    let config = Config::default();
    let input = Input { world: &cluster, config: &config, node: &node };
    let first = compile(&input, &Ids::default(), None).expect("the cluster compiles");
    let mut observed = Observed::default();
    diff(&observed, &first.desired, &ROOM).expect("the cluster fits").apply_to(&mut observed);
    criterion.bench_function("compile/10000-pods-1000-policies", |bencher| {
        bencher.iter(|| compile(black_box(&input), &observed.ids, Some(&first)));
    });
    criterion.bench_function("diff/no-change", |bencher| {
        bencher.iter(|| diff(black_box(&observed), &first.desired, &ROOM));
    });
}

fn hostile_tenant(criterion: &mut Criterion) {
    let (cluster, node) = world::hostile();
    let config = Config::default();
    let input = Input { world: &cluster, config: &config, node: &node };
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10).bench_function("10000-policies-of-one-tenant", |bencher| {
        bencher.iter(|| compile(black_box(&input), &Ids::default(), None).expect("the tenant compiles"));
    });
    let worlds = [("by-exclusion", world::hostile_by_exclusion()), ("among-others", world::hostile_among_others())];
    for (name, (cluster, node)) in &worlds {
        let input = Input { world: cluster, config: &config, node };
        group.bench_function(format!("hostile-{name}-within-a-budget"), |bencher| {
            let budget = DEFAULT.budget();
            bencher.iter(|| compile_within(black_box(&input), &Ids::default(), None, &budget).expect("it compiles"));
        });
    }
}

criterion_group!(benches, compile_and_diff, hostile_tenant);
criterion_main!(benches);
