"""What a training's log tells the demo and the bench."""

from aistation_slurm.cli.training_log import read_training_log

LOG = """\
aistation: run 0 of job 7 on v100-01,v100-02 at 1000.100
phase: python up at 1000.900
phase: torch imported at 1002.5
phase: first step at 1004
step 1/40 loss 2.3
step 10/40 loss 2.1
checkpoint of step 10
step 13/40 loss 2.0
aistation: run 1 of job 7 on v100-02,v100-03 at 1010.250
phase: first step at 1014
resumed from the checkpoint of step 10
step 11/40 loss 2.09
step 40/40 loss 1.0
checkpoint of step 40
final loss 0.9876543210123456
""".splitlines()


def test_each_start_of_the_job_is_a_run_with_its_own_nodes_and_phases():
    first, second = read_training_log(LOG).runs
    assert (first.restart, first.nodes, first.at) == (0, "v100-01,v100-02", 1000.1)
    assert first.phases == {"python up": 1000.9, "torch imported": 1002.5, "first step": 1004.0}
    assert (second.restart, second.nodes, second.at) == (1, "v100-02,v100-03", 1010.25)


def test_it_tells_what_was_done_twice():
    first, second = read_training_log(LOG).runs
    assert (first.step, second.resumed_from, second.first_step) == (13, 10, 11)


def test_the_final_loss_keeps_all_its_digits():
    assert read_training_log(LOG).final_loss == 0.9876543210123456


def test_an_empty_log_and_foreign_lines_tell_nothing():
    assert read_training_log([]).last is None
    assert read_training_log(["", "step 3/4 loss 1", "srun: error"]).runs == []
