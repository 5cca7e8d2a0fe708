//! Users whose password is their name backwards.

use fieldgate_broker::{Broker, Config, PasswordHash, Permission, Rule, User, Users};
use fieldgate_mqtt::{Connect, Version};

use super::{Client, config, connect, start};

/// A user's name and rules.
pub(crate) type Person<'a> = (&'a str, &'a [(&'a str, Permission)]);

pub(crate) fn password(name: &str) -> String {
    name.chars().rev().collect()
}

pub(crate) fn rules(rules: &[(&str, Permission)]) -> Vec<Rule> {
    let rule = |(filter, permission): &(&str, Permission)| Rule::new(filter, *permission).unwrap();
    rules.iter().map(rule).collect()
}

pub(crate) fn people(people: &[Person<'_>]) -> Users {
    let person = |(name, list): &Person<'_>| {
        let user = User {
            password: Some(PasswordHash::of(password(name).as_bytes()).unwrap()),
            rules: Some(rules(list)),
            role: None,
            ..User::default()
        };
        ((*name).to_owned(), user)
    };
    Users {
        anonymous: None,
        named: people.iter().map(person).collect(),
    }
}

/// A broker with users.
pub(crate) fn broker_for(users: Users) -> Broker {
    start(Config { users, ..config() })
}

/// A CONNECT of `name`, whose password has to be filled in.
pub(crate) fn named<'a>(version: Version, client_id: &'a str, name: &'a str) -> Connect<'a> {
    Connect {
        username: Some(name),
        ..connect(version, client_id)
    }
}

/// `name` is let in with its password.
pub(crate) fn enter(broker: &Broker, version: Version, client_id: &str, name: &str) -> Client {
    let password = password(name);
    let connect = Connect {
        password: Some(password.as_bytes()),
        ..named(version, client_id, name)
    };
    Client::open(broker, &connect)
}
