"""`PredictorEvaluator`: asks an accuracy model instead of training; what it says is labelled as a prediction."""

from dataclasses import dataclass

from nas.accuracy.predictor import AccuracyPredictor
from nas.trial import Outcome, Report, Trial


@dataclass(frozen=True, slots=True)
class PredictorEvaluator:
    """Fills `nas.trial.Evaluator`; needs neither data nor torch, and answers in less than a millisecond."""

    predictor: AccuracyPredictor

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        """Predict the trial's network; metrics are `accuracy`, and `accuracy_low` and `accuracy_high` of its interval.

        Raises:
            SpaceError: the network is not a point of the predictor's space.
            AccuracyError: the model knows nothing of one of its choices.
        """
        prediction = self.predictor.predict_networks([trial.proposal.architecture])
        names = {"accuracy": prediction.accuracy, "accuracy_low": prediction.low, "accuracy_high": prediction.high}
        return Outcome({name: float(percent[0]) / 100 for name, percent in names.items()})
