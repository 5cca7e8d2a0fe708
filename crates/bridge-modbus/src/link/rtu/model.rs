//! A line whose units are slow, deaf, torn, doubled and restarted as chance has it, and a client
//! that asks them as chance has it. An answer that is handed out must be that of the very request
//! it is handed out for.
//!
//! `PROPTEST_CASES` says how many schedules are played.

mod world;

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::*;
use crate::config::Table;
use world::{Echo, Fate, Harm, Kind, Others, World};

const LIMIT: Duration = Duration::from_millis(1000);
const LATE: Duration = Duration::from_secs(10);
const SCHEDULES: u32 = 2000;

const SERIAL: Timing = Timing {
    character: Duration::from_micros(1_146),
    silence: Duration::from_micros(4_010),
    gap: Duration::from_millis(64),
    turnaround: Duration::from_millis(100),
};
const TCP: Timing = Timing {
    character: Duration::ZERO,
    silence: Duration::ZERO,
    gap: Duration::from_millis(250),
    turnaround: Duration::from_millis(100),
};

/// What the client does.
#[derive(Clone, Debug)]
struct Step {
    pause: Duration,
    unit: u8,
    ask: usize,
    retries: u8,
    /// The connection is opened anew first.
    reconnects: bool,
}

/// Several have answers of one shape; two are always refused.
fn request(ask: usize, number: u16) -> Request {
    let read = |table, address, count| Request::Read {
        table,
        address,
        count,
    };
    let words = |address, words: &[u16]| Request::WriteRegisters {
        address,
        words: words.to_vec(),
    };
    match ask {
        0 => read(Table::Holding, 70, 1),
        1 => read(Table::Holding, 77, 1),
        2 => read(Table::Holding, 84, 1),
        3 => read(Table::Holding, 77, 2),
        4 => read(Table::Input, 5, 1),
        5 => read(Table::Coil, 3, 4),
        6 => read(Table::Coil, 1, 8),
        7 => read(Table::Holding, 666, 1),
        8 => Request::WriteRegister {
            address: 10,
            word: 7,
        },
        9 => Request::WriteRegister {
            address: 10,
            word: number,
        },
        10 => words(20, &[1, number]),
        11 => words(666, &[1, 2]),
        _ => Request::Raw(vec![3, 0, 70, 0, 1]),
    }
}
const ASKS: usize = 13;

fn steps(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        5 => Just(0u64),
        3 => 1u64..50,
        3 => 50u64..2_000,
        1 => 2_000u64..15_000,
    ];
    // Mostly the same few, as a plan has them.
    let ask = prop_oneof![4 => 0usize..3, 2 => 0..ASKS];
    let step = (pause, 1u8..=2, ask, 0u8..=3, prop::bool::weighted(0.05));
    let step = step.prop_map(|(pause, unit, ask, retries, reconnects)| Step {
        pause: Duration::from_millis(pause),
        unit,
        ask,
        retries,
        reconnects,
    });
    prop::collection::vec(step, 1..longest)
}

fn fates(longest: usize) -> impl Strategy<Value = Vec<Fate>> {
    let delay = prop_oneof![
        4 => 1u64..50,
        3 => 900u64..1_300,
        3 => 1_300u64..5_000,
        1 => 5_000u64..9_000,
    ];
    let harm = prop_oneof![
        6 => Just(Harm::None),
        1 => Just(Harm::RequestLost),
        2 => Just(Harm::AnswerLost),
        1 => Just(Harm::Twice),
        1 => Just(Harm::TwiceInPieces),
        1 => (1usize..8).prop_map(Harm::Torn),
        1 => (0usize..7).prop_map(Harm::Flipped),
        1 => (0u8..4).prop_map(Harm::AfterForeign),
        1 => Just(Harm::Deaf),
        1 => Just(Harm::Restart),
    ];
    let fate = (delay, harm, any::<bool>()).prop_map(|(delay, harm, is_fresh)| Fate {
        delay: Duration::from_millis(delay),
        harm,
        is_fresh,
    });
    prop::collection::vec(fate, 0..longest)
}

fn kinds() -> impl Strategy<Value = Kind> {
    let echo = prop_oneof![
        Just(Echo::Answers),
        Just(Echo::Refuses),
        Just(Echo::Ignores)
    ];
    let others = prop_oneof![
        Just(Others::Answers),
        Just(Others::Refuses),
        Just(Others::Ignores)
    ];
    (echo, others).prop_map(|(echo, others)| Kind { echo, others })
}

/// A client and its line.
struct Client {
    link: RtuLink,
    units: Units,
    ledger: Ledger,
    world: World,
    timing: Timing,
    number: u16,
}

impl Client {
    fn new(kind: Kind, fates: Vec<Fate>, timing: Timing) -> Self {
        let world = World::start(kind, fates, timing.silence);
        Self {
            link: RtuLink::new(Box::new(world.connect(false)), timing, false),
            units: Units::new("test", LATE),
            ledger: Ledger::default(),
            world,
            timing,
            number: 100,
        }
    }

    /// One request, as often as `retries` allows; what is handed out is checked.
    async fn ask(&mut self, unit: u8, ask: usize, retries: u8) -> Result<Answer, Fault> {
        self.number += 1;
        let request = request(ask, self.number);
        let mut left = if request.is_write() { 0 } else { retries };
        loop {
            let begun = Instant::now();
            let Self {
                link,
                units,
                ledger,
                ..
            } = self;
            let answer = link.transact(unit, &request, LIMIT, units, ledger).await;
            self.world.check(unit, &request, &answer, begun);
            match answer {
                Err(Fault::Timeout | Fault::Wrong(_) | Fault::Unsent(_)) if left > 0 => left -= 1,
                answer => return answer,
            }
        }
    }

    async fn step(&mut self, step: &Step) {
        sleep(step.pause).await;
        if step.reconnects {
            let keeps = step.retries.is_multiple_of(2);
            let line = self.world.connect(!keeps);
            self.link = RtuLink::new(Box::new(line), self.timing, false);
        }
        let _ = self.ask(step.unit, step.ask, step.retries).await;
    }

    /// Asks for register 77 each second until it is told; how long that took.
    async fn recovery(&mut self) -> Duration {
        self.world.heal();
        sleep(self.world.busy_for() + Duration::from_millis(1)).await;
        let begun = Instant::now();
        while self.ask(1, 1, 0).await.is_err() {
            assert!(begun.elapsed() < 100 * LIMIT, "it never comes back");
            sleep(LIMIT).await;
        }
        begun.elapsed()
    }
}

fn play(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.unwrap().block_on(work);
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: cases
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(SCHEDULES),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// And a unit that answers again is soon asked again.
    #[test]
    fn what_is_handed_out_answers_the_request_it_is_handed_out_for(
        kind in kinds(),
        fates in fates(24),
        steps in steps(16),
        is_tcp in any::<bool>(),
    ) {
        play(async move {
            let timing = if is_tcp { TCP } else { SERIAL };
            let mut client = Client::new(kind, fates, timing);
            for step in &steps {
                client.step(step).await;
            }
            // At worst it is tried with all barriers, and left alone then.
            let most = LATE + 20 * LIMIT;
            let took = client.recovery().await;
            assert!(took < most, "{took:?} of {most:?}");
        });
    }
}

/// The stall of one answer that comes after its time, or never.
#[test]
fn a_stall_costs_little_and_a_healthy_line_nothing() {
    for (kind, lost, most, barriers) in [
        (
            Kind {
                echo: Echo::Answers,
                others: Others::Answers,
            },
            false,
            40,
            2,
        ),
        (
            Kind {
                echo: Echo::Answers,
                others: Others::Ignores,
            },
            true,
            40,
            1,
        ),
        (
            Kind {
                echo: Echo::Refuses,
                others: Others::Ignores,
            },
            true,
            40,
            1,
        ),
        (
            Kind {
                echo: Echo::Ignores,
                others: Others::Answers,
            },
            true,
            2_200,
            2,
        ),
        (
            Kind {
                echo: Echo::Ignores,
                others: Others::Refuses,
            },
            true,
            3_200,
            2,
        ),
        (
            Kind {
                echo: Echo::Ignores,
                others: Others::Ignores,
            },
            true,
            25_000,
            20,
        ),
    ] {
        play(async move {
            let harm = if lost { Harm::AnswerLost } else { Harm::None };
            let stall = Fate {
                delay: Duration::from_millis(1_300),
                harm,
                is_fresh: true,
            };
            let mut client = Client::new(kind, vec![stall], SERIAL);
            assert!(client.ask(1, 1, 0).await.is_err());
            let took = client.recovery().await.as_millis();
            assert!(took <= most, "{kind:?}: {took} ms");
            let sent = client.ledger.snapshot().bus.barriers;
            assert!(sent <= barriers, "{kind:?}: {sent} barriers");
            // From now on it is as if nothing had been.
            let begun = Instant::now();
            for ask in [0, 1, 2, 1, 1] {
                assert!(client.ask(1, ask, 0).await.is_ok());
            }
            let each = SERIAL.silence + 8 * SERIAL.character + Duration::from_millis(5);
            let took = begun.elapsed();
            assert!(
                took < 5 * (each + Duration::from_millis(2)),
                "{kind:?}: {took:?}"
            );
            assert_eq!(client.ledger.snapshot().bus.barriers, sent);
        });
    }
}
