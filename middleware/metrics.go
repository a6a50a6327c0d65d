package middleware

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/latchkey-api/latchkey/fault"
)

// Metrics are the metrics of the chain. The values of their labels are closed sets: callers cannot add a time series.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	refusals *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_http_requests_total",
			Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "latchkey_http_request_duration_seconds",
			Help:    "Time from the request being read to its answer being ready.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"route", "method"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_refusals_total",
			Help: "Requests refused because of what the caller sent, by reason.",
		}, []string{"reason"}),
	}
	r.MustRegister(m.requests, m.duration, m.refusals)
	for _, code := range fault.Codes() {
		if refusal(code) {
			m.refusals.WithLabelValues(code.Reason()) // a rate needs the zero before the first refusal
		}
	}
	return m
}

func (m *Metrics) observe(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route, method).Observe(took.Seconds())
}

func (m *Metrics) refused(code fault.Code) {
	m.refusals.WithLabelValues(code.Reason()).Inc()
}
