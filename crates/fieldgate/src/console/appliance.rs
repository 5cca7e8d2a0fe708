//! The board as a system, for the console: what the unit of root tells, and what it is asked for.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fieldgate_console::{
    Appliance, ApplianceView, BundleView, Bytes, Later, NotDone, OutlookView, ReleaseView,
    SlotView, Task, Upload, WorkView,
};
use fieldgate_update::{Fit, Outlook, Release, Slot, room};

use crate::handover::{put, read, remove};
use crate::network::uptime;
use crate::update::wish::{Act, Places, State, Told, Wish};

/// For how long what is told of slots is taken for true, in seconds. Others than the console may change them.
const FRESH: u64 = 30;
/// How long the unit of root may take to begin, in seconds.
const SILENCE: u64 = 30;
/// From one look whether it has ended to the next.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes that are written to the card before it is waited for them: what else is written there must not wait long.
const WRITTEN_MAX: usize = 1 << 20;

/// The board below a root.
#[derive(Clone, Debug)]
pub(super) struct Board {
    places: Places,
    /// What this process asked for last, and when.
    asked: Arc<Mutex<Option<(Wish, u64)>>>,
    /// Held while an update comes.
    coming: Arc<tokio::sync::Mutex<()>>,
}

impl Board {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            places: Places::new(root),
            asked: Arc::default(),
            coming: Arc::default(),
        }
    }

    fn told(&self) -> Option<Told> {
        read(&self.places.told())
    }

    /// What is asked for and not begun yet.
    fn waiting(&self, told: Option<&Told>) -> Option<(Wish, u64)> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = asked.clone();
        waiting.filter(|(wish, _)| told.is_none_or(|told| told.wish.id != wish.id))
    }

    /// What is being done, or will be soon.
    fn busy(&self) -> Option<Act> {
        let told = self.told();
        let waiting = self.waiting(told.as_ref());
        let waiting = waiting.filter(|(_, at)| is_recent(*at));
        let told = told.filter(|told| told.state == State::Busy);
        let wish = waiting
            .map(|(wish, _)| wish)
            .or(told.map(|told| told.wish))?;
        Some(wish.act)
    }

    /// Waits until there is nothing to do. For a look, which is over soon; what a person began is refused.
    async fn free(&self) -> Result<(), NotDone> {
        if !self.places.unit().exists() {
            let text = "the system is not managed here; use its own tools";
            return Err(NotDone::Refused(text.to_owned()));
        }
        let end = uptime() + SILENCE;
        while let Some(act) = self.busy() {
            if act != Act::Look || uptime() > end {
                let text = "something else is being done; wait for its end";
                return Err(NotDone::Refused(text.to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn begin(&self, act: Act) -> Result<(), NotDone> {
        self.free().await?;
        self.ask(act)
    }

    fn ask(&self, act: Act) -> Result<(), NotDone> {
        // Not a secret: it only tells one wish from the next.
        let id = format!("{:016x}", RandomState::new().hash_one(uptime()));
        let wish = Wish { id, act };
        let text = serde_json::to_string(&wish).map_err(failed)?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        put(&self.places.asked(), &text).map_err(failed)?;
        *asked = Some((wish, uptime()));
        Ok(())
    }

    fn view(&self) -> ApplianceView {
        let managed = self.places.unit().exists();
        let mut told = self.told();
        let is_old = told
            .as_ref()
            .is_none_or(|told| uptime().saturating_sub(told.at) >= FRESH);
        if managed && is_old && self.busy().is_none() {
            // If that fails, what is there now is shown.
            if let Err(error) = self.ask(Act::Look) {
                log::debug!("the slots cannot be asked for: {error:?}");
            }
        }
        let work = self.work(told.as_ref());
        let status = told.as_mut().and_then(|told| told.status.take());
        let (room, no_room) = match room(&self.places.uploads()) {
            Ok(room) => (room, None),
            Err(refusal) => (0, Some(format!("an update: {refusal}"))),
        };
        let unknown = told.as_mut().and_then(|told| told.unknown.take());
        let bundle = told.and_then(|told| told.bundle);
        let bundle = bundle.filter(|_| self.places.bundle().exists());
        ApplianceView {
            managed,
            room,
            running: status.as_ref().map(|status| release(&status.running)),
            outlook: status.as_ref().map(|status| OutlookView {
                state: state(&status.outlook),
                text: status.outlook.to_string(),
            }),
            slots: status.map_or_else(Vec::new, |status| {
                status.slots.into_iter().map(slot).collect()
            }),
            problem: unknown.or(no_room).filter(|_| managed),
            bundle: bundle.map(|bundle| BundleView {
                release: release(&bundle.release),
                fit: fit(bundle.fit),
            }),
            work,
        }
    }

    /// What was asked for last, by whatever is known of it. Looks are nothing that a person asked for.
    fn work(&self, told: Option<&Told>) -> Option<WorkView> {
        let is_shown = |act: &Act| *act != Act::Look;
        let waiting = self.waiting(told);
        if let Some((wish, at)) = waiting.filter(|(wish, _)| is_shown(&wish.act)) {
            let problem = "the system does not begin; `journalctl -u fieldgate-update` may say why";
            let (state, problem) = match is_recent(at) {
                true => ("busy", None),
                false => ("refused", Some(problem.to_owned())),
            };
            return Some(WorkView {
                act: wish.act.name(),
                state,
                percent: None,
                step: None,
                problem,
            });
        }
        let told = told.filter(|told| is_shown(&told.wish.act))?;
        Some(WorkView {
            act: told.wish.act.name(),
            state: match told.state {
                State::Busy => "busy",
                State::Done => "done",
                State::Refused => "refused",
            },
            percent: told.step.as_ref().map(|step| step.percent),
            step: told.step.as_ref().map(|step| step.step.clone()),
            problem: told.problem.clone(),
        })
    }

    async fn receive(&self, bytes: u64) -> Result<Box<dyn Upload>, NotDone> {
        let lock = Arc::clone(&self.coming).try_lock_owned();
        let lock = lock.map_err(|_| NotDone::Refused("another upload is coming".to_owned()))?;
        self.free().await?;
        // One that is replaced gives its room.
        remove(&self.places.bundle()).map_err(failed)?;
        let most = room(&self.places.uploads());
        let most = most.map_err(|refusal| NotDone::Refused(refusal.to_string()))?;
        if bytes > most {
            let (has, free) = (bytes.div_ceil(1 << 20), most >> 20);
            return Err(NotDone::Refused(format!(
                "the update has {has} MB, and the data partition has room for {free} MB"
            )));
        }
        let path = self.places.coming();
        remove(&path).map_err(failed)?;
        let file = File::create_new(&path).map_err(failed)?;
        Ok(Box::new(Coming {
            file: Arc::new(file),
            path: Some(path),
            left: bytes,
            unwritten: Vec::new(),
            board: self.clone(),
            _lock: lock,
        }))
    }
}

/// Whether a wish may still be taken.
fn is_recent(at: u64) -> bool {
    uptime().saturating_sub(at) < SILENCE
}

fn failed(error: impl std::fmt::Display) -> NotDone {
    NotDone::Failed(error.to_string())
}

fn release(release: &Release) -> ReleaseView {
    ReleaseView {
        version: release.version.clone(),
        build: release.build.clone(),
    }
}

fn slot(slot: Slot) -> SlotView {
    SlotView {
        name: slot.name,
        version: slot.version,
        installed: slot.installed,
        running: slot.is_running,
        next: slot.is_next,
        good: slot.is_good,
        whole: slot.is_whole,
        starts_left: slot.starts_left,
    }
}

fn state(outlook: &Outlook) -> &'static str {
    match outlook {
        Outlook::Stays { .. } => "stays",
        Outlook::Trial { .. } => "trial",
        Outlook::Switches { .. } => "switches",
        Outlook::FellBack { .. } => "fell_back",
        Outlook::HalfWritten { .. } => "half_written",
        Outlook::NoneGood => "none_good",
    }
}

fn fit(fit: Fit) -> &'static str {
    match fit {
        Fit::Newer => "newer",
        Fit::Same => "same",
        Fit::Older => "older",
        Fit::Foreign => "foreign",
    }
}

/// An update that is coming, in a file that has its name only when it is whole.
struct Coming {
    file: Arc<File>,
    path: Option<PathBuf>,
    /// Bytes that are to come.
    left: u64,
    unwritten: Vec<u8>,
    board: Board,
    _lock: tokio::sync::OwnedMutexGuard<()>,
}

impl Coming {
    async fn write(&mut self) -> Result<(), NotDone> {
        let (file, bytes) = (Arc::clone(&self.file), std::mem::take(&mut self.unwritten));
        let written = tokio::task::spawn_blocking(move || {
            file.as_ref().write_all(&bytes)?;
            file.sync_data()
        });
        written.await.map_err(failed)?.map_err(failed)
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = fs::remove_file(&path)
        {
            log::warn!("{}: {error}", path.display());
        }
    }
}

impl Upload for Coming {
    fn take(&mut self, bytes: Bytes) -> Later<'_, Result<(), NotDone>> {
        Box::pin(async move {
            let left = self.left.checked_sub(bytes.len() as u64);
            self.left =
                left.ok_or_else(|| NotDone::Refused("more comes than was said".to_owned()))?;
            self.unwritten.extend_from_slice(&bytes);
            match self.unwritten.len() >= WRITTEN_MAX {
                true => self.write().await,
                false => Ok(()),
            }
        })
    }

    fn whole(mut self: Box<Self>) -> Later<'static, Result<(), NotDone>> {
        Box::pin(async move {
            if self.left > 0 {
                let text = format!("{} bytes are missing", self.left);
                return Err(NotDone::Refused(text));
            }
            self.write().await?;
            if let Some(path) = &self.path {
                fs::rename(path, self.board.places.bundle()).map_err(failed)?;
                self.path = None;
            }
            self.board.begin(Act::Check).await
        })
    }
}

impl Appliance for Board {
    fn look(&self) -> Later<'_, ApplianceView> {
        Box::pin(async { self.view() })
    }

    fn upload(&self, bytes: u64) -> Later<'_, Result<Box<dyn Upload>, NotDone>> {
        Box::pin(self.receive(bytes))
    }

    fn discard(&self) -> Later<'_, Result<(), NotDone>> {
        Box::pin(async {
            self.free().await?;
            match self.places.bundle().exists() {
                true => remove(&self.places.bundle()).map_err(failed),
                false => Err(NotDone::Missing),
            }
        })
    }

    fn begin(&self, task: Task) -> Later<'_, Result<(), NotDone>> {
        let act = match task {
            Task::Install => Act::Install,
            Task::Next(slot) => Act::Next(slot),
            Task::RestartGateway => Act::RestartGateway,
            Task::RestartBoard => Act::RestartBoard,
        };
        Box::pin(self.begin(act))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the unit of root does it: takes what is asked for, and tells what became of it.
    fn carried_out(board: &Board, state: State, problem: Option<&str>) -> Act {
        let wish: Wish = read(&board.places.asked()).expect("something is asked for");
        remove(&board.places.asked()).expect("it can be taken");
        let told = Told {
            wish: wish.clone(),
            state,
            step: None,
            problem: problem.map(str::to_owned),
            status: None,
            unknown: Some("no slots".to_owned()),
            bundle: None,
            at: uptime(),
        };
        crate::handover::say(&board.places.told(), &told).expect("it can be told");
        wish.act
    }

    #[tokio::test]
    async fn one_thing_is_done_at_a_time_and_what_became_of_it_is_shown() {
        let folder = std::env::temp_dir().join(format!("appliance-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let board = Board::new(&folder);
        let refused = |done: Result<(), NotDone>, want: &str| match done {
            Err(NotDone::Refused(text)) => assert!(text.contains(want), "{text}"),
            other => panic!("{other:?}"),
        };
        refused(board.begin(Act::Install).await, "not managed here");
        assert!(!board.view().managed);
        fs::create_dir_all(board.places.unit().parent().expect("a folder")).expect("the units");
        fs::create_dir_all(folder.join("run/fieldgate")).expect("the daemon's folder");
        fs::write(board.places.unit(), "").expect("the unit");

        // A page asks how the slots are. That is nothing to be told of, and others wait for it.
        assert!(board.view().managed && board.view().work.is_none());
        let restart = tokio::spawn({
            let board = board.clone();
            async move { board.begin(Act::RestartGateway).await }
        });
        assert_eq!(carried_out(&board, State::Done, None), Act::Look);
        restart.await.expect("no panic").expect("it is asked for");
        let shown = |board: &Board| board.view().work.map(|work| (work.act, work.state));
        assert_eq!(shown(&board), Some(("restart_gateway", "busy")));
        refused(board.begin(Act::Install).await, "something else");
        let act = carried_out(&board, State::Busy, None);
        assert_eq!(act, Act::RestartGateway);
        refused(board.begin(Act::Install).await, "something else");

        // A process that has ended in the middle no longer counts once that is told.
        let mut told: Told = read(&board.places.told()).expect("what was told");
        (told.state, told.problem) = (State::Refused, Some("it ended".to_owned()));
        crate::handover::say(&board.places.told(), &told).expect("it can be told");
        let work = board.view().work.expect("it is shown");
        assert_eq!(
            (work.state, work.problem.as_deref()),
            ("refused", Some("it ended"))
        );
        assert_eq!(board.view().problem.as_deref(), Some("no slots"));
        board
            .begin(Act::Next("B".to_owned()))
            .await
            .expect("it is asked for");
        let act = carried_out(&board, State::Done, None);
        assert_eq!(act, Act::Next("B".to_owned()));
        assert_eq!(shown(&board), Some(("next", "done")));
        // Here is no data partition.
        let upload = board.receive(5).await;
        let upload = upload.map(|_| ());
        refused(upload, "cannot be kept on this board");
        fs::remove_dir_all(&folder).expect("the folder goes");
    }
}
