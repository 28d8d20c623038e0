"""What Airflow's web page shows of FlowEngine beside its own."""
