//! The commands that change the users file. What they print is for a person at a terminal.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use fieldgate_broker::{PasswordHash, Permission, Role, Rule, User, Users};

use crate::args::{self, AddUser, ConsoleRole, NamedUser, NewPassword, UsersFile};
use crate::output::print;
use crate::stop::Stop;
use fieldgate_config as config;
use fieldgate_config::users_file::Locked;
use fieldgate_config::yaml::suggestion;

/// More than the longest password and its line end.
const LINE_MAX: u64 = 4096;

/// Carries out `fieldgate user ...`.
///
/// # Errors
///
/// A users file with mistakes, a name that is taken or not there, or what the system refuses.
pub(crate) fn act(command: &args::User) -> Result<(), Stop> {
    match command {
        args::User::Add(add) => self::add(add),
        args::User::Passwd(passwd) => set_password(passwd),
        args::User::Remove(user) => remove(user),
        args::User::List(file) => list(file),
    }
}

impl From<ConsoleRole> for Role {
    fn from(role: ConsoleRole) -> Self {
        match role {
            ConsoleRole::View => Self::View,
            ConsoleRole::Operate => Self::Operate,
            ConsoleRole::Admin => Self::Admin,
        }
    }
}

fn add(add: &AddUser) -> Result<(), Stop> {
    let NamedUser { name, file } = &add.user.user;
    config::check_user_name(name).map_err(Stop::Usage)?;
    let rules = rules(&add.read, &add.write)?;
    let path = locate(file)?;
    // Before the password is asked for; and again below, under the lock.
    is_free(&read_or_new(&path)?, name)?;
    let password = Some(new_password(&add.user)?);
    let locked = Locked::new(&path).map_err(Stop::Other)?;
    let mut users = read_or_new(&path)?;
    is_free(&users, name)?;
    let role = add.console.map(Role::from);
    let user = User {
        password,
        rules,
        role,
        ..User::default()
    };
    let told = described(&user);
    users.named.insert(name.clone(), user);
    locked.write(&users).map_err(Stop::Other)?;
    print(&format!("{}: added {name}: {told}\n", path.display()));
    Ok(())
}

fn set_password(passwd: &NewPassword) -> Result<(), Stop> {
    let NamedUser { name, file } = &passwd.user;
    let path = locate(file)?;
    find(&mut read(&path)?, name)?;
    let password = new_password(passwd)?;
    let locked = Locked::new(&path).map_err(Stop::Other)?;
    let mut users = read(&path)?;
    find(&mut users, name)?.password = Some(password);
    locked.write(&users).map_err(Stop::Other)?;
    print(&format!("{}: {name} has a new password\n", path.display()));
    Ok(())
}

fn remove(user: &NamedUser) -> Result<(), Stop> {
    let path = locate(&user.file)?;
    let locked = Locked::new(&path).map_err(Stop::Other)?;
    let mut users = read(&path)?;
    find(&mut users, &user.name)?;
    users.named.remove(&user.name);
    locked.write(&users).map_err(Stop::Other)?;
    print(&format!("{}: removed {}\n", path.display(), user.name));
    Ok(())
}

fn list(file: &UsersFile) -> Result<(), Stop> {
    let users = read(&locate(file)?)?;
    let width = users.named.keys().map(|name| name.chars().count()).max();
    let width = width.unwrap_or_default();
    for (name, user) in &users.named {
        print(&format!("{name:width$}  {}\n", described(user)));
    }
    if let Some(rules) = &users.anonymous {
        print(&format!("without a user name: {}\n", allowed(Some(rules))));
    }
    Ok(())
}

/// The users file that a command line means.
pub(crate) fn locate(file: &UsersFile) -> Result<PathBuf, Stop> {
    if let Some(file) = &file.file {
        return Ok(file.clone());
    }
    config::users_file_of(&file.config).map_err(Stop::Config)
}

fn read(path: &Path) -> Result<Users, Stop> {
    config::load_users(path).map_err(Stop::Config)
}

fn read_or_new(path: &Path) -> Result<Users, Stop> {
    config::users_file::read_or_new(path).map_err(Stop::Config)
}

fn is_free(users: &Users, name: &str) -> Result<(), Stop> {
    if users.named.contains_key(name) {
        return Err(Stop::Usage(format!(
            "the user \"{name}\" is there already; `fieldgate user passwd` sets another password"
        )));
    }
    Ok(())
}

fn find<'u>(users: &'u mut Users, name: &str) -> Result<&'u mut User, Stop> {
    if !users.named.contains_key(name) {
        let names: Vec<&String> = users.named.keys().collect();
        let text = format!("there is no user \"{name}\"{}", suggestion(name, &names));
        return Err(Stop::Usage(text));
    }
    let found = users.named.get_mut(name);
    found.ok_or_else(|| Stop::Usage(format!("there is no user \"{name}\"")))
}

/// The rules of the command line; `None` if there are none. A filter given for both is one rule.
fn rules(read: &[String], write: &[String]) -> Result<Option<Vec<Rule>>, Stop> {
    let rule = |filter: &String, permission| {
        Rule::new(filter, permission)
            .map_err(|error| Stop::Usage(format!("\"{filter}\" is {error}")))
    };
    let mut rules = Vec::new();
    for filter in read {
        let permission = if write.contains(filter) {
            Permission::ReadWrite
        } else {
            Permission::Read
        };
        rules.push(rule(filter, permission)?);
    }
    for filter in write.iter().filter(|filter| !read.contains(filter)) {
        rules.push(rule(filter, Permission::Write)?);
    }
    Ok((!rules.is_empty()).then_some(rules))
}

/// Asks for a password and hashes it.
fn new_password(new: &NewPassword) -> Result<PasswordHash, Stop> {
    let password = if new.stdin {
        let mut line = String::new();
        let mut input = io::stdin().lock().take(LINE_MAX);
        input.read_line(&mut line).map_err(Stop::Other)?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        line.strip_suffix('\r').unwrap_or(line).to_owned()
    } else {
        let ask = |prompt: String| rpassword::prompt_password(prompt).map_err(no_terminal);
        let first = ask(format!("Password of {}: ", new.user.name))?;
        if ask("The same again: ".to_owned())? != first {
            return Err(Stop::Usage("the two passwords differ".to_owned()));
        }
        first
    };
    PasswordHash::of(password.as_bytes()).map_err(|error| Stop::Usage(error.to_string()))
}

fn no_terminal(error: io::Error) -> Stop {
    let text = format!("no terminal to ask for a password ({error}); use --stdin");
    Stop::Other(io::Error::new(error.kind(), text))
}

fn described(user: &User) -> String {
    let proof = match &user.password {
        Some(_) => "",
        None => "only with a client certificate; ",
    };
    let console = match user.role {
        None => "",
        Some(Role::View) => "; console: view",
        Some(Role::Operate) => "; console: operate",
        Some(Role::Admin) => "; console: admin",
    };
    format!("{proof}{}{console}", allowed(user.rules.as_ref()))
}

fn allowed(rules: Option<&Vec<Rule>>) -> String {
    let Some(rules) = rules else {
        return "may read and write everything".to_owned();
    };
    let told = |rule: &Rule| {
        let word = match rule.permission() {
            Permission::Read => "read",
            Permission::Write => "write",
            Permission::ReadWrite => "read and write",
            Permission::Deny => "neither read nor write",
        };
        format!("{word} {}", rule.filter())
    };
    match rules.as_slice() {
        [] => "may do nothing".to_owned(),
        rules => format!(
            "may {}",
            rules.iter().map(told).collect::<Vec<_>>().join(", ")
        ),
    }
}
