package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// result is what a client saw; the counts are of the whole run.
type result struct {
	Sent    int              `json:"sent"`
	Lost    int              `json:"lost"`
	Reasons map[string]int   `json:"reasons"`
	Answers map[string]int   `json:"answers"`
	Seconds map[int64][2]int `json:"seconds"`
	mutex   sync.Mutex
}

func newResult() *result {
	return &result{Reasons: map[string]int{}, Answers: map[string]int{}, Seconds: map[int64][2]int{}}
}

// add counts one request under the second in which it was sent.
func (seen *result) add(at time.Time, who string, err error) {
	seen.mutex.Lock()
	defer seen.mutex.Unlock()
	second := seen.Seconds[at.Unix()]
	seen.Sent++
	second[0]++
	if err != nil {
		seen.Lost++
		second[1]++
		seen.Reasons[reason(err)]++
	} else {
		seen.Answers[who]++
	}
	seen.Seconds[at.Unix()] = second
}

func (seen *result) print() error {
	seen.mutex.Lock()
	defer seen.mutex.Unlock()
	return json.NewEncoder(os.Stdout).Encode(seen)
}

// report writes the counters once a second, for who watches.
func (seen *result) report(ctx context.Context) {
	for ticker := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			seen.mutex.Lock()
			fmt.Fprintf(os.Stderr, "%d sent, %d lost\n", seen.Sent, seen.Lost)
			seen.mutex.Unlock()
		}
	}
}

// reason is the last part of a network error: what happened, without addresses.
func reason(err error) string {
	parts := strings.Split(err.Error(), ": ")
	return parts[len(parts)-1]
}

// load sends requests at a steady rate, whether or not earlier ones were answered.
func load(arguments []string) error {
	flags := flag.NewFlagSet("http", flag.ExitOnError)
	rate := flags.Int("rate", 200, "requests per second")
	duration := flags.Duration("for", 0, "how long; until SIGTERM by default")
	keep := flags.Bool("keep-alive", false, "reuse connections")
	patience := flags.Duration("timeout", time.Second, "when a request counts as lost")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	ctx, cancel := ending(*duration)
	defer cancel()
	client := &http.Client{Timeout: *patience, Transport: &http.Transport{
		DisableKeepAlives:   !*keep,
		MaxIdleConnsPerHost: 50,
		DialContext:         (&net.Dialer{Timeout: *patience}).DialContext,
	}}
	seen := newResult()
	go seen.report(ctx)
	var running sync.WaitGroup
	ticker := time.NewTicker(time.Second / time.Duration(*rate))
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case at := <-ticker.C:
			running.Go(func() {
				who, err := request(client, "http://"+flags.Arg(0)+"/")
				seen.add(at, who, err)
			})
		}
	}
	running.Wait()
	return seen.print()
}

func request(client *http.Client, url string) (string, error) {
	// A POST: Go sends a GET again by itself when a kept connection was closed, and would hide the loss.
	answer, err := client.Post(url, "text/plain", strings.NewReader("x"))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status: %d", answer.StatusCode)
	}
	return strings.TrimSpace(string(body)), err
}

// ending is over on SIGTERM, and after a duration other than 0.
func ending(after time.Duration) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	if after == 0 {
		return ctx, stop
	}
	limited, cancel := context.WithTimeout(ctx, after)
	return limited, func() { cancel(); stop() }
}
