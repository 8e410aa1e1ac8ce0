//! A full compile of the cluster of the budget (DESIGN.md §10): at most 20 ms.
#![allow(clippy::expect_used, reason = "a benchmark that cannot compile its world has nothing to measure")]

mod world;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use policy::compile::{Ids, Input, compile};
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
}

criterion_group!(benches, compile_and_diff, hostile_tenant);
criterion_main!(benches);
