//! Rounds in random order, and medians of what they gave.

use std::collections::BTreeMap;

/// All values of one thing that was measured.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// Each value over the one of the same round: what slows a machine down for seconds slows both.
    pub fn over(&self, base: &Self) -> Self {
        Self(self.0.iter().zip(&base.0).map(|(value, base)| value / base).collect())
    }

    /// The smallest: what something costs while nothing disturbs it.
    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// (largest − smallest) / median, in percent.
    pub fn spread(&self) -> f64 {
        let (least, most) = self.0.iter().fold((f64::MAX, f64::MIN), |(least, most), &v| (least.min(v), most.max(v)));
        (most - least) / self.median() * 100.0
    }
}

/// Samples by name.
pub type Table<K> = BTreeMap<K, Samples>;

/// The numbers below `n` in an order of their own for each round (Fisher-Yates on a linear congruential generator:
/// the order must differ, it need not be unpredictable).
pub fn shuffled(n: usize, round: u64) -> Vec<usize> {
    let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
    order
}
