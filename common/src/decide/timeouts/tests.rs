use super::*;

const HOUR: Ticks = 3600 * SECOND;
const START: Ticks = Ticks::MAX - 5;

/// A flow, and the moment of its last packet, on a clock that wraps soon.
struct Flow {
    state: FlowState,
    protocol: u8,
    now: Ticks,
}

impl Flow {
    /// The pod opens it, and it is answered at once.
    fn answered(protocol: u8) -> Self {
        let mut flow = Self { state: FlowState(FlowState::BY_POD), protocol, now: START };
        flow.packet(0, Direction::Egress, false, false);
        flow.packet(0, Direction::Ingress, false, false);
        flow
    }

    /// A packet after so long a silence. The flow must be alive then.
    fn packet(&mut self, after: Ticks, direction: Direction, fin: bool, rst: bool) {
        assert!(self.state.expires() == 0 || self.lives(after));
        self.now = self.now.wrapping_add(after);
        let datagram = Datagram { protocol: self.protocol, fin, rst, ..Datagram::EMPTY };
        let after = next(self.state, direction, &datagram, self.now);
        if worth_writing(self.state, after) {
            self.state = after;
        }
    }

    fn lives(&self, after: Ticks) -> bool {
        is_alive(self.state.expires(), self.now.wrapping_add(after))
    }

    fn is_established(&self) -> bool {
        is_established(self.state, self.protocol)
    }
}

#[test]
fn a_connection_is_remembered_for_days_and_a_reset_does_not_change_that() {
    let mut flow = Flow::answered(TCP);
    assert!(flow.is_established() && flow.lives(24 * HOUR));
    flow.packet(HOUR, Direction::Ingress, false, true);
    assert!(!flow.is_established(), "it leaves a full table first");
    assert!(flow.lives(24 * HOUR));
    flow.packet(24 * HOUR, Direction::Egress, false, false);
    assert!(flow.is_established(), "its ends have ignored the reset");
    flow.packet(0, Direction::Egress, false, true);
    flow.packet(0, Direction::Ingress, false, true);
    assert!(!flow.is_established(), "they have not");
}

#[test]
fn what_both_ends_close_is_over_unless_they_go_on() {
    let mut flow = Flow::answered(TCP);
    flow.packet(SECOND, Direction::Egress, true, false);
    assert!(flow.is_established() && flow.lives(24 * HOUR), "half of it is open");
    flow.packet(SECOND, Direction::Ingress, true, false);
    flow.packet(0, Direction::Egress, false, false);
    assert!(!flow.is_established() && flow.lives(100 * SECOND) && !flow.lives(121 * SECOND), "the last ACK");
    flow.packet(60 * SECOND, Direction::Egress, false, false);
    assert!(flow.is_established() && flow.lives(24 * HOUR), "the FINs were a stranger's");
}

#[test]
fn an_opening_that_nobody_answers_is_forgotten() {
    let mut flow = Flow { state: FlowState(FlowState::BY_PEER), protocol: TCP, now: START };
    flow.packet(0, Direction::Ingress, false, false);
    assert!(!flow.is_established() && flow.lives(110 * SECOND) && !flow.lives(121 * SECOND));
}

#[test]
fn a_question_and_its_answer_are_no_stream() {
    let mut flow = Flow::answered(UDP);
    assert!(!flow.is_established() && flow.lives(30 * SECOND) && !flow.lives(40 * SECOND));
    flow.packet(SECOND, Direction::Egress, false, false);
    assert!(!flow.is_established(), "within two seconds");
    flow.packet(2 * SECOND, Direction::Ingress, false, false);
    assert!(flow.is_established() && flow.lives(119 * SECOND) && !flow.lives(121 * SECOND));
    // Nobody answers: no stream, however long.
    let mut flow = Flow { state: FlowState(FlowState::BY_POD), protocol: UDP, now: START };
    (0..20).for_each(|_| flow.packet(20 * SECOND, Direction::Egress, false, false));
    assert!(!flow.is_established());
}

#[test]
fn other_protocols_live_as_long_as_in_conntrack() {
    assert!(Flow::answered(47).lives(599 * SECOND));
    let mut echo = Flow::answered(ICMP);
    (0..20).for_each(|_| echo.packet(20 * SECOND, Direction::Egress, false, false));
    assert!(!echo.is_established() && echo.lives(30 * SECOND));
}
