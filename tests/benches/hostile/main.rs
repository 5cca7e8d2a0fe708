//! What good clients notice of hostile ones, and what the gateway holds because of them.
//!
//! See `tests/benches/README.md`. Each row is a gateway of its own, and an attacker in a process of its own.

mod attack;
mod bus;
mod door;
mod figures;
mod gateway;
mod good;
mod group;
mod inputs;
mod memory;
mod pages;
mod retained;
mod sessions;
mod turns;

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use clap::Parser;

use attack::Attacker;
use figures::{Figures, Targets};
use gateway::{Gateway, Setup};
use good::{Good, Way};
use group::Group;
use inputs::{Input, Needs};

#[derive(Parser)]
#[command(
    name = "hostile",
    about = "Good clients and devices beside hostile ones"
)]
struct Args {
    /// How long each attack lasts
    #[arg(long, value_name = "N", default_value_t = 15)]
    seconds: u64,
    /// How long the pace of the devices is taken before
    #[arg(long, value_name = "N", default_value_t = 5)]
    quiet: u64,
    /// Memory is looked at again this long after every attack; else 60 s after the waves only
    #[arg(long, value_name = "SECONDS")]
    after: Option<u64>,
    /// Attacks of 3 s
    #[arg(long)]
    quick: bool,
    /// Only the inputs whose name contains this; may be repeated
    #[arg(long = "input", value_name = "NAME")]
    inputs: Vec<String>,
    /// Where the attackers come from; the good clients come from 127.0.0.1
    #[arg(long, value_name = "ADDRESS", default_value_t = Ipv4Addr::LOCALHOST)]
    from: Ipv4Addr,
    /// The fieldgate to measure, instead of the one beside this bench
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the state is kept; else in cargo's folder for temporary files
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Memory of the control group that the gateway runs in, without swap, such as 300M
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// `broker.limits.memory`, such as 128M; else as it follows from the machine
    #[arg(long, value_name = "SIZE")]
    budget: Option<String>,
    /// Keeps folders and logs
    #[arg(long)]
    keep: bool,
    /// For the bench itself: be the attacker
    #[arg(long, hide = true, value_name = "NAME")]
    attack: Option<String>,
    /// Cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// How long a gateway may take to stop.
const STOP_MAX: Duration = Duration::from_secs(15);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = Args::parse();
    if let Some(name) = &args.attack {
        return Ok(attack::run(name, args.seconds, args.from)?);
    }
    if args.quick {
        args.seconds = 3;
    }
    let binary = args.binary();
    if !binary.exists() {
        let text = "is missing: cargo build --release -p fieldgate";
        return Err(format!("{} {text}", binary.display()).into());
    }
    let memory = args.memory.as_deref().map(bytes).transpose()?;
    let group = memory.map(Group::new).transpose()?;
    let budget = match &args.budget {
        Some(budget) => bytes(budget)?,
        None => figures::usual_budget(memory)?,
    };
    let base = args.state.clone();
    let base = base.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).to_path_buf());
    let folder = base.join(format!("hostile-{}", process::id()));
    announce(&args, budget);
    println!("{}", figures::HEAD);
    let targets = Targets { budget };
    let mut notes = vec![];
    let (mut missed, mut rows) = (0, 0);
    let mut quiet = None;
    for (number, input) in inputs::ALL.iter().enumerate() {
        let wanted = |name: &String| input.name.contains(name.as_str());
        if !args.inputs.is_empty() && !args.inputs.iter().any(wanted) {
            continue;
        }
        let row = Row {
            args: &args,
            input,
            binary: &binary,
            folder: folder.join(number.to_string()),
            group: group.as_ref(),
        };
        rows += 1;
        match row.measure() {
            Ok(figures) => {
                let verdict = targets.missed(&figures);
                missed += usize::from(!verdict.is_empty());
                let quiet = quiet.get_or_insert((figures.p99, figures.slowest.1));
                let ratios = (figures.p99 / quiet.0, figures.slowest.1 / quiet.1);
                println!("{}", figures.line(input.name, &verdict));
                notes.push(format!(
                    "{}: {}; p99 {:.2}, pace {:.2} of the first row",
                    input.name,
                    figures.notes.join("; "),
                    ratios.0,
                    ratios.1
                ));
            }
            Err(error) => {
                missed += 1;
                println!("| {} | not measured: {error} |", input.name);
            }
        }
    }
    if rows == 0 {
        return Err("no input has such a name".into());
    }
    println!(
        "\n{missed} of {rows} inputs missed a target.\n\n{}",
        notes.join("\n")
    );
    match args.keep {
        true => println!("\n{}", folder.display()),
        false => fs::remove_dir_all(&folder)?,
    }
    Ok(())
}

fn announce(args: &Args, budget: u64) {
    println!(
        "{} s an input from {}; budget {} MiB; {}",
        args.seconds,
        args.from,
        budget >> 20,
        match &args.memory {
            Some(memory) => format!("control group of {memory}"),
            None => "no control group".to_owned(),
        }
    );
}

impl Args {
    fn binary(&self) -> PathBuf {
        if let Some(binary) = &self.binary {
            return binary.clone();
        }
        // target/release/deps/NAME-HASH
        let own = env::current_exe().unwrap_or_default();
        let profile = own.parent().and_then(Path::parent);
        profile.unwrap_or(Path::new("")).join("fieldgate")
    }
}

/// `300M` and the like.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("expected a size such as 300M or 1G, found {text:?}");
    let units = [('K', 10), ('M', 20), ('G', 30)];
    let unit = units.iter().find(|(letter, _)| text.ends_with(*letter));
    let (number, shift) = match unit {
        Some((letter, shift)) => (text.trim_end_matches(*letter), *shift),
        None => (text, 0),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// One input, and what is needed to measure it.
struct Row<'a> {
    args: &'a Args,
    input: &'a Input,
    binary: &'a Path,
    folder: PathBuf,
    group: Option<&'a Group>,
}

impl Row<'_> {
    fn measure(&self) -> io::Result<Figures> {
        let Self { args, input, .. } = self;
        let killed_before = self.group.map_or(0, Group::killed);
        let mut attacker = Attacker::start(input.name, args.seconds, args.from)?;
        let setup = Setup::new(
            self.binary,
            self.folder.clone(),
            input.needs,
            args.budget.as_deref(),
            attacker.port,
            self.group,
        )?;
        let mut gateway = setup.start()?;
        let way = Way {
            address: gateway.address(),
            login: input.needs == Needs::Users,
        };
        // Devices come online, and first values have gone out.
        thread::sleep(Duration::from_secs(1));
        let good = Good::start(way)?;
        let quiet_begin = Instant::now();
        thread::sleep(Duration::from_secs(args.quiet));
        let process = gateway.process();
        process.forget_memory_peak()?;
        let mut figures = Figures {
            memory_before: process.memory_now()?,
            ..Figures::default()
        };
        let logged = setup.logged();
        let begin = Instant::now();
        attacker.begin(setup.ports())?;
        let done = attacker.finish()?;
        figures.notes.push(done);
        let end = Instant::now();
        if input.needs == Needs::LateDevice {
            setup.add_device(&gateway)?;
            match retained::of_late_device(gateway.address()) {
                Ok((late, like)) => {
                    let note =
                        format!("{late} topics of the late device retained, {like} of a like one");
                    figures.notes.push(note);
                    figures.late = Some((late, like));
                }
                Err(error) => figures.notes.push(format!("retained: {error}")),
            }
        }
        figures.take(good.finish((quiet_begin, begin), (begin, end)));
        figures.logged = setup.logged() - logged;
        figures.memory_peak = gateway.process().memory_peak().ok();
        self.look_again(&mut gateway, &mut figures)?;
        figures.dead = gateway.process().ended()?.map(|status| {
            match self.group.map_or(0, Group::killed) > killed_before {
                true => "killed: out of memory".to_owned(),
                false => status.to_string(),
            }
        });
        self.restart(gateway, &setup, way, &mut figures)?;
        if !args.keep {
            fs::remove_dir_all(&self.folder)?;
        }
        Ok(figures)
    }

    fn look_again(&self, gateway: &mut Gateway, figures: &mut Figures) -> io::Result<()> {
        let after = match (self.args.after, self.input.needs) {
            (Some(after), _) => after,
            (None, Needs::Rest) => 60,
            (None, _) => return Ok(()),
        };
        thread::sleep(Duration::from_secs(after));
        figures.memory_after = gateway.process().memory_now().ok();
        Ok(())
    }

    /// Stops the gateway and starts it again with what it keeps, until a new client and a reading have come.
    fn restart(
        &self,
        gateway: Gateway,
        setup: &Setup<'_>,
        way: Way,
        figures: &mut Figures,
    ) -> io::Result<()> {
        let begin = Instant::now();
        figures.hung = gateway.stop(STOP_MAX)?.is_none();
        figures.stopped = begin.elapsed();
        let begin = Instant::now();
        let served = setup.start().and_then(|gateway| {
            good::serves(way)?;
            Ok(gateway)
        });
        match served {
            Ok(gateway) => {
                figures.restarted = Some(begin.elapsed());
                gateway.stop(STOP_MAX)?;
            }
            Err(error) => figures.notes.push(format!("restart: {error}")),
        }
        Ok(())
    }
}
