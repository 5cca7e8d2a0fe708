//! An embedded MQTT broker: listeners, sessions, routing, retained messages, in-process links
