//! Which key each request is about: numbers below a bound, by a distribution.
//!
//! The same seed draws the same numbers, so that two runs ask the same.

/// How often each key comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Distribution {
    /// Every key as often as any other.
    Uniform,
    /// Key number k as often as 1 / (k + 1): a few keys get most requests.
    Zipf,
    /// Key number 0 in every second request on average, in the others all equally often.
    Hot,
    /// One after the other, then from the start.
    Sequential,
}

/// Draws key numbers in `0..keys`; `keys` of 0 counts as 1.
#[derive(Clone, Debug)]
pub struct KeyDraw {
    keys: u64,
    distribution: Distribution,
    state: u64,
}

impl KeyDraw {
    pub fn new(keys: u64, distribution: Distribution, seed: u64) -> Self {
        Self { keys: keys.max(1), distribution, state: seed }
    }

    /// The key of the request with this number; only `Sequential` looks at the number.
    pub fn draw(&mut self, request: u64) -> u64 {
        match self.distribution {
            Distribution::Sequential => request % self.keys,
            Distribution::Uniform => below(self.keys, self.bits()),
            Distribution::Zipf => self.zipf(),
            Distribution::Hot => match self.bits() >> 63 {
                0 => 0,
                _ => below(self.keys, self.bits()),
            },
        }
    }

    /// By rejection from the continuous density 1/x, whose integral is the logarithm: rank k is
    /// proposed with the weight of k ± ½ and kept with the share that 1/k has of it. Nearly all
    /// proposals are kept, and no table of all keys is needed.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ranks are clamped to the bounds; beyond 2^53 keys neighbours may swap"
    )]
    fn zipf(&mut self) -> u64 {
        let lowest = 1.5_f64.ln() - 1.0;
        let highest = (self.keys as f64 + 0.5).ln();
        loop {
            let drawn = lowest + self.fraction() * (highest - lowest);
            let rank = drawn.exp().round().clamp(1.0, self.keys as f64);
            if drawn >= (rank + 0.5).ln() - 1.0 / rank {
                return rank as u64 - 1;
            }
        }
    }

    /// In `0.0..1.0`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// SplitMix64: any seed will do, and the numbers are as even as a load needs.
    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Scales evenly spread bits to `0..bound`.
fn below(bound: u64, bits: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 200_000;

    /// How often each key came.
    fn drawn(keys: u64, distribution: Distribution) -> Vec<f64> {
        let mut draw = KeyDraw::new(keys, distribution, 1);
        let mut counts = vec![0.0; usize::try_from(keys).unwrap()];
        for request in 0..u64::from(DRAWS) {
            counts[usize::try_from(draw.draw(request)).unwrap()] += 1.0;
        }
        counts
    }

    #[test]
    fn uniform_keys_come_equally_often() {
        let counts = drawn(20, Distribution::Uniform);
        let expected = f64::from(DRAWS) / 20.0;
        assert!(counts.iter().all(|count| (count / expected - 1.0).abs() < 0.05));
    }

    #[test]
    fn zipf_keys_come_as_often_as_one_by_their_rank() {
        let keys = 1_000_u32;
        let counts = drawn(u64::from(keys), Distribution::Zipf);
        let harmonic: f64 = (1..=keys).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1_u32, 2, 3, 10, 50] {
            let expected = f64::from(DRAWS) / f64::from(rank) / harmonic;
            let count = counts[rank as usize - 1];
            assert!((count / expected - 1.0).abs() < 0.1, "rank {rank}: {count} of {expected}");
        }
        let tail: f64 = counts[500..].iter().sum();
        let expected = f64::from(DRAWS) * (1_000.0_f64 / 500.0).ln() / harmonic;
        assert!((tail / expected - 1.0).abs() < 0.05, "tail: {tail} of {expected}");
    }

    #[test]
    fn a_hot_key_comes_in_every_second_request_and_others_equally_often() {
        let counts = drawn(20, Distribution::Hot);
        let (half, even) = (f64::from(DRAWS) / 2.0, f64::from(DRAWS) / 40.0);
        assert!((counts[0] / (half + even) - 1.0).abs() < 0.02, "{}", counts[0]);
        assert!(counts[1..].iter().all(|count| (count / even - 1.0).abs() < 0.07), "{counts:?}");
    }

    #[test]
    fn sequential_keys_go_round() {
        let mut draw = KeyDraw::new(3, Distribution::Sequential, 0);
        let keys: Vec<u64> = (0..5).map(|request| draw.draw(request)).collect();
        assert_eq!(keys, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn keys_stay_below_their_bound_and_repeat_with_their_seed() {
        for distribution in [Distribution::Uniform, Distribution::Zipf, Distribution::Hot] {
            for keys in [0, 1, 2, u64::MAX] {
                let mut first = KeyDraw::new(keys, distribution, 9);
                let mut second = first.clone();
                for request in 0..1_000 {
                    let key = first.draw(request);
                    assert!(key < keys.max(1));
                    assert_eq!(key, second.draw(request));
                }
            }
        }
    }
}
