//! The rows of bench/rows.h in Timely Dataflow: rask-bench-timely shuffle|sum ROWS KEYS [-w WORKERS]
//!
//! Each worker makes the rows of one split; they travel by key (column a) to the worker that adds them up, or that keeps the
//! running sum of b for each key.  Prints the line of bench/c: rows, checksum over all cells, seconds.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

type Row = [u64; 4];
type Rows = CapacityContainerBuilder<Vec<Row>>;
type Nothing = CapacityContainerBuilder<Vec<()>>;

const GOLDEN: u64 = 0x9e3779b97f4a7c15;
const IN_FLIGHT: u64 = 4; // rounds that a source may be ahead
const ROUND: u64 = 32768; // rows

fn plain(split: u64, i: u64) -> Row {
    let x = (42 + split).wrapping_add((i + 1).wrapping_mul(GOLDEN));
    [x ^ x >> 29, x, i, x ^ i]
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d049bb133111eb);
    z ^ z >> 31
}

fn keyed(split: u64, splits: u64, keys: u64, i: u64) -> Row {
    let z = mix((42 + split).wrapping_add((i + 1).wrapping_mul(GOLDEN)));
    [((z >> 32) * (keys / splits) >> 32) * splits + split, z & 0xffff, i, z]
}

fn check(r: &Row) -> u64 {
    r[0] ^ r[1].rotate_left(9) ^ r[2].rotate_left(23) ^ r[3].rotate_left(41)
}

fn place(r: &Row) -> u64 {
    r[0].wrapping_mul(GOLDEN) >> 32
}

fn job(worker: &mut Worker, rows: u64, keys: u64, result: Arc<(AtomicU64, AtomicU64)>) {
    let (me, peers) = (worker.index() as u64, worker.peers() as u64);
    let mut probe = ProbeHandle::new();
    let mut input: InputHandle<u64, Rows> = InputHandle::new_with_builder();
    worker.dataflow::<u64, _, _>(|scope| {
        let mut stream = input.to_stream(scope);
        if keys > 0 {
            stream = stream.unary::<Rows, _, _, _>(Exchange::new(place), "sum", |_, _| {
                let mut sums: FxHashMap<u64, (u64, u64, u64)> = FxHashMap::default();
                move |input, output| {
                    // Not for_each_stamp: that one sorts batches, and the rows of a key have to stay in order.
                    input.for_each(|time, batch| {
                        let mut session = output.session(&time);
                        for r in batch.drain(..) {
                            let s = sums.entry(r[0]).or_insert((0, r[2], r[3]));
                            s.0 = s.0.wrapping_add(r[1]);
                            session.give([r[0], s.0, s.1, s.2]);
                        }
                    });
                }
            });
        }
        let add = move |batch: &mut Vec<Row>| {
            result.0.fetch_add(batch.len() as u64, Ordering::Relaxed);
            result.1.fetch_add(batch.drain(..).fold(0, |sum, r| check(&r).wrapping_add(sum)), Ordering::Relaxed);
        };
        if keys > 0 {
            stream.unary::<Nothing, _, _, _>(Pipeline, "add", |_, _| {
                move |input, _| input.for_each_stamp(|_, data| data.for_each(&add))
            })
        } else {
            stream.unary::<Nothing, _, _, _>(Exchange::new(place), "add", |_, _| {
                move |input, _| input.for_each_stamp(|_, data| data.for_each(&add))
            })
        }
        .probe_with(&mut probe);
    });
    let mine = rows / peers + u64::from(me < rows % peers);
    let (mut i, mut round) = (0, 0u64);
    while i < mine {
        let end = mine.min(i + ROUND);
        while i < end {
            input.send(if keys > 0 { keyed(me, peers, keys, i) } else { plain(me, i) });
            i += 1;
        }
        round += 1;
        input.advance_to(round);
        worker.step();
        while probe.less_than(&round.saturating_sub(IN_FLIGHT)) {
            worker.step();
        }
    }
    input.close();
    while !probe.done() {
        worker.step();
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let sum = args.next().as_deref() == Some("sum");
    let number = |a: Option<String>| a.and_then(|n| n.parse().ok()).expect("usage: shuffle|sum ROWS KEYS [-w WORKERS]");
    let (rows, keys): (u64, u64) = (number(args.next()), number(args.next()));
    let result = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let shared = result.clone();
    let begin = Instant::now();
    timely::execute_from_args(args, move |worker| job(worker, rows, if sum { keys } else { 0 }, shared.clone()))
        .expect("timely starts")
        .join();
    let seconds = begin.elapsed().as_secs_f64();
    println!("rows={} checksum={} seconds={:.6}", result.0.load(Ordering::Relaxed), result.1.load(Ordering::Relaxed), seconds);
}
