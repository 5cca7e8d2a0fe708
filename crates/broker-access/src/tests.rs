use super::*;

fn hash(password: &str) -> PasswordHash {
    PasswordHash::of(password.as_bytes()).unwrap()
}

/// Name, password, and where the user may write.
type Entry<'a> = (&'a str, Option<&'a PasswordHash>, Option<&'a [&'a str]>);

fn users(named: &[Entry<'_>]) -> Users {
    let user = |(name, password, writes): &Entry<'_>| {
        let rule = |filter: &&str| Rule::new(filter, Permission::Write).unwrap();
        let user = User {
            password: password.cloned(),
            rules: writes.map(|writes| writes.iter().map(rule).collect()),
            role: None,
            ..User::default()
        };
        ((*name).to_owned(), user)
    };
    Users {
        anonymous: None,
        named: named.iter().map(user).collect(),
    }
}

#[test]
fn without_a_name_clients_are_let_in_as_the_configuration_says() {
    let no_users = Users::default();
    let ann = users(&[("ann", None, None)]);
    for (users, allow_anonymous, listener, local, user, want) in [
        (&no_users, false, None, true, None, Ok(())),
        (&no_users, false, None, false, None, Err(ONLY_LOCAL)),
        (&no_users, true, None, false, None, Ok(())),
        (&ann, false, None, true, None, Err(NO_NAME)),
        (&ann, false, None, false, None, Err(NO_NAME)),
        (&ann, true, None, false, None, Ok(())),
        // A listener's own setting wins.
        (&no_users, false, Some(true), false, None, Ok(())),
        (&no_users, true, Some(false), false, None, Err(ONLY_LOCAL)),
        (&no_users, true, Some(false), true, None, Ok(())),
        (&ann, true, Some(false), true, None, Err(NO_NAME)),
        // Where there are no users, names say nothing.
        (&no_users, false, None, true, Some("x"), Ok(())),
        (&no_users, false, None, false, Some("x"), Err(ONLY_LOCAL)),
        (&no_users, true, None, false, Some("x"), Ok(())),
    ] {
        let policy = Policy::new(allow_anonymous, users.clone());
        let claim = Claim {
            user,
            local,
            allow_anonymous: listener,
            ..Claim::default()
        };
        let anonymous = Principal::Anonymous {
            local,
            allowed: listener,
        };
        let want = want.map(|()| Judgement::Known(anonymous));
        assert_eq!(policy.judge(&claim), want, "{allow_anonymous} {claim:?}");
    }
}

#[test]
fn a_name_needs_its_password_and_an_unknown_name_takes_as_long() {
    let (own, cheap) = (
        hash("pw"),
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$RdescudvJCsgt3ub+b4dWRWJTmaaJObGZ9fTnSzqYvM",
    );
    let cheap: PasswordHash = cheap.parse().unwrap();
    let only_certificate = users(&[("pump", None, None)]);
    let mixed = users(&[
        ("ann", Some(&own), None),
        ("bob", Some(&cheap), None),
        ("pump", None, None),
    ]);
    let decoy: PasswordHash = DECOY.parse().unwrap();
    assert_eq!(decoy.cost(), own.cost());
    assert_eq!(decoy.verify(b""), Some(false));
    for (users, name, want_hash, want_exists) in [
        (&mixed, "ann", &own, true),
        (&mixed, "bob", &cheap, true),
        (&mixed, "eve", &own, false),
        (&mixed, "pump", &own, false),
        (&only_certificate, "pump", &decoy, false),
    ] {
        for allow_anonymous in [false, true] {
            let claim = Claim {
                user: Some(name),
                local: true,
                ..Claim::default()
            };
            match Policy::new(allow_anonymous, users.clone()).judge(&claim) {
                Ok(Judgement::Prove {
                    hash,
                    exists,
                    principal,
                }) => {
                    assert_eq!((&hash, exists), (want_hash, want_exists), "{name}");
                    assert_eq!(principal.user(), Some(name));
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_certificate_proves_its_name_whatever_else_the_client_says() {
    let pump = users(&[("pump", None, Some(&["p/%u"]))]);
    for (users, proven, want) in [
        (&Users::default(), "any", Ok(("p/any", true))),
        (&pump, "pump", Ok(("p/pump", true))),
        (&pump, "pump", Ok(("q", false))),
        (&pump, "other", Err(UNKNOWN_CERTIFICATE)),
    ] {
        let policy = Policy::new(false, users.clone());
        let claim = Claim {
            proven: Some(proven),
            user: Some("liar"),
            local: false,
            allow_anonymous: None,
        };
        let found = policy.judge(&claim).map(|judgement| match judgement {
            Judgement::Known(principal) => policy.rights(&principal, "c").unwrap(),
            other => panic!("{other:?}"),
        });
        match (found, want) {
            (Ok(rights), Ok((topic, may))) => {
                assert_eq!(rights.may_write(topic, None), may, "{topic}")
            }
            (found, want) => assert_eq!(found.err(), want.err(), "{proven}"),
        }
    }
}

#[test]
fn rights_end_with_the_user_and_with_its_password() {
    let (old, new) = (hash("old"), hash("new"));
    let principal = Principal::User {
        name: "ann".into(),
        proof: Proof::Password(old.clone()),
    };
    for (users, want) in [
        (users(&[("ann", Some(&old), None)]), Ok(Rights::all())),
        (users(&[("ann", Some(&old), Some(&[]))]), Ok(Rights::none())),
        (users(&[("ann", Some(&new), None)]), Err(WRONG_LOGIN)),
        (users(&[("ann", None, None)]), Err(WRONG_LOGIN)),
        (users(&[("bob", Some(&old), None)]), Err(WRONG_LOGIN)),
        (Users::default(), Err(WRONG_LOGIN)),
    ] {
        let policy = Policy::new(true, users.clone());
        assert_eq!(policy.rights(&principal, "c"), want, "{users:?}");
    }
}

#[test]
fn refusals_are_said_once_and_a_flood_of_them_silences_the_log_for_an_hour_only() {
    let mut refused = Refused::default();
    let start = Instant::now();
    assert!(refused.is_first(0, start));
    assert!(!refused.is_first(0, start + 9 * SILENCE));
    for what in 1..REFUSED_MAX as u64 {
        assert!(refused.is_first(what, start));
    }
    assert!(!refused.is_first(u64::MAX, start + SILENCE - Duration::from_millis(1)));
    assert!(refused.is_first(u64::MAX, start + SILENCE));
    assert!(!refused.is_first(u64::MAX, start + SILENCE));
}
