//! Shared subscriptions: each message goes to one member of the group.

use fieldgate_mqtt::SubscriptionOptions;

use crate::support::*;

fn member(broker: &fieldgate_broker::Broker, id: &str, qos: QoS) -> Client {
    let mut client = Client::open(broker, &connect_v5(id, 60));
    client.subscribe("$share/group/t/#", qos);
    client
}

#[test]
fn members_take_turns_and_other_groups_and_plain_subscribers_get_everything() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut members = ["a", "b", "c"].map(|id| member(&broker, id, QoS::AtLeastOnce));
    let mut other = Client::v5(&broker, "other");
    other.subscribe("$share/other/t/#", QoS::AtMostOnce);
    let mut plain = Client::v5(&broker, "plain");
    plain.subscribe("t/+", QoS::AtMostOnce);
    let texts: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    for text in &texts {
        assert_eq!(publisher.publish("t/x", text, QoS::AtLeastOnce), 0);
    }
    assert_eq!(other.texts(30), texts);
    assert_eq!(plain.texts(30), texts);
    let mut shared = Vec::new();
    for client in &mut members {
        shared.extend(client.texts(10));
        client.nothing_more();
    }
    shared.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(shared, texts);
}

#[test]
fn a_group_gets_no_retained_messages_and_keeps_its_identifiers() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    publisher.retain("t/x", "kept");
    let mut client = Client::v5(&broker, "c");
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    client.subscribe_to(Some(5), &[("$share/g/t/x", options)]);
    client.nothing_more();
    publisher.publish("t/x", "live", QoS::AtLeastOnce);
    let want = Got {
        subscription_ids: vec![5],
        ..got("t/x", "live", 1)
    };
    assert_eq!(client.message().anonymous(), want);
}

#[test]
fn those_who_are_there_get_what_others_miss_and_those_who_left_get_nothing() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut stays = member(&broker, "stays", QoS::AtLeastOnce);
    let offline = member(&broker, "offline", QoS::AtLeastOnce);
    let mut leaves = member(&broker, "leaves", QoS::AtLeastOnce);
    offline.vanish();
    assert_eq!(leaves.unsubscribe(&["$share/group/t/#"]), [0]);
    let texts: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    for text in &texts {
        publisher.publish("t/x", text, QoS::AtLeastOnce);
    }
    assert_eq!(stays.texts(10), texts);
    leaves.nothing_more();
    let mut offline = Client::open(&broker, &connect_v5("offline", 60));
    assert!(offline.greeting.session_present);
    offline.nothing_more();
}

#[test]
fn when_all_members_are_offline_their_sessions_share_what_comes() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    for id in ["a", "b"] {
        member(&broker, id, QoS::AtLeastOnce).vanish();
    }
    for text in 0..10 {
        let reason = publisher.publish("t/x", &text.to_string(), QoS::AtLeastOnce);
        assert_eq!(reason, 0);
    }
    for id in ["a", "b"] {
        let mut client = Client::open(&broker, &connect_v5(id, 60));
        assert_eq!(client.texts(5).len(), 5, "{id}");
        client.nothing_more();
    }
}

#[test]
fn a_message_counts_once_for_a_shared_and_once_for_a_plain_subscription_of_a_client() {
    let broker = broker();
    let mut client = member(&broker, "both", QoS::AtMostOnce);
    client.subscribe("t/x", QoS::AtMostOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    publisher.publish("t/x", "twice", QoS::AtLeastOnce);
    assert_eq!(client.texts(2), ["twice", "twice"]);
    client.nothing_more();
}

#[test]
fn a_member_that_takes_nothing_does_not_hold_up_the_others() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    // Its window is full after one message, and its queue holds the rest.
    let mut connect = connect_v5("stuck", 60);
    connect.properties.receive_maximum = std::num::NonZeroU16::new(1);
    let mut stuck = Client::open(&broker, &connect);
    stuck.subscribe("$share/group/t/#", QoS::AtLeastOnce);
    let mut works = member(&broker, "works", QoS::AtLeastOnce);
    for text in 0..20 {
        publisher.publish("t/x", &text.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!(works.texts(10).len(), 10);
    assert_eq!(stuck.texts(10).len(), 10);
}
