package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"net"
	"strings"
	"time"
)

var errAnswer = errors.New("dns: not an answer")

// ask sends one question after the other from one source port, as clients with a fixed port do.
func ask(arguments []string) error {
	flags := flag.NewFlagSet("dns", flag.ExitOnError)
	port := flags.Int("port", 0, "the source port; a new one for each question when 0")
	duration := flags.Duration("for", 0, "how long; until SIGTERM by default")
	every := flags.Duration("every", 100*time.Millisecond, "the time between two questions")
	patience := flags.Duration("timeout", 500*time.Millisecond, "when a question counts as lost")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	ctx, cancel := ending(*duration)
	defer cancel()
	seen := newResult()
	go seen.report(ctx)
	for id := uint16(1); ctx.Err() == nil; id++ {
		at := time.Now()
		err := question(*port, flags.Arg(0), flags.Arg(1), id, *patience)
		seen.add(at, "dns", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(at.Add(*every))):
		}
	}
	return seen.print()
}

func question(port int, server, name string, id uint16, patience time.Duration) error {
	dialer := net.Dialer{}
	if port != 0 {
		dialer.LocalAddr = &net.UDPAddr{Port: port}
	}
	connection, err := dialer.Dial("udp", server)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := connection.Write(query(name, id)); err != nil {
		return err
	}
	for answer := make([]byte, 1500); ; {
		size, err := connection.Read(answer)
		if err != nil {
			return err
		}
		// A late answer to the question before is not the answer to this one.
		if size >= 12 && binary.BigEndian.Uint16(answer) == id {
			if answer[3]&0x0f != 0 {
				return errAnswer
			}
			return nil
		}
	}
}

// query is a question for the A records of a name (RFC 1035, 4.1).
func query(name string, id uint16) []byte {
	message := binary.BigEndian.AppendUint16(nil, id)
	message = append(message, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		message = append(append(message, byte(len(label))), label...)
	}
	return append(message, 0, 0, 1, 0, 1)
}
